"""What is done to bulk sends and lanes on the page: by the functions behind the API's own calls."""

from __future__ import annotations

from datetime import datetime, timedelta

from api import bulk_orders
from api.change_schemas import BulkSendChange
from api.changing import Change
from api.dependencies import Parts
from api.operation_orders import check_reason
from api.operation_schemas import RetryFailedOrder
from api.waiting import relay_name
from api.waking import REST_KNOWN
from postwerk.archive import lanes, reads, suspensions
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.operations import Operation
from postwerk.contracts.queue import QueueFilter, Verb
from postwerk.contracts.states import MessageState
from postwerk.errors import InvalidRequest
from postwerk.rules.providers import OTHER_LANE, lane_of
from postwerk.rules.suspending import SuspensionKind

PAUSED_HERE = "paused on the page"
SUSPENDED_HERE = "suspended on the page"
SUSPENDED_FOR = timedelta(minutes=30)
_MOST_SUSPENSIONS = 1000
_PROVIDER = SuspensionKind.PROVIDER


async def pause(parts: Parts, bulk_id: str, reason: str, actor: Actor) -> None:
    """Raises NotFound, Conflict, InvalidRequest."""
    reason = reason or PAUSED_HERE
    check_reason(reason, required=True)
    await bulk_orders.pause(parts, bulk_id, reason, actor)


async def resume(parts: Parts, bulk_id: str, actor: Actor) -> None:
    """Raises NotFound, Conflict, Unavailable."""
    await bulk_orders.resume(parts, bulk_id, "", actor)


async def cancel(parts: Parts, bulk_id: str, reason: str, actor: Actor) -> None:
    """Raises NotFound, Conflict, InvalidRequest."""
    check_reason(reason, required=False)
    await bulk_orders.cancel(parts, bulk_id, reason, actor)


async def set_rate(parts: Parts, bulk_id: str, rate: str, actor: Actor) -> None:
    """Empty: as fast as it goes. Raises NotFound, Conflict, InvalidRequest."""
    wanted = Change(BulkSendChange(rate=rate or None), parts.config)
    async with parts.archive.writing() as connection:
        consequences = await wanted.apply(connection, bulk_id, actor, parts.now())
    parts.follower.follow(bulk_id, consequences)


def failed_of(bulk_id: str) -> QueueFilter:
    """Those of its messages that failed, as the API's call takes it."""
    return QueueFilter(bulk=(bulk_id,), state=tuple(MessageState(one) for one in RetryFailedOrder().states))


async def count_failed(parts: Parts, bulk_id: str) -> int:
    """How many would be started again."""
    meant = await parts.operator.count(Verb.RETRY_FAILED, failed_of(bulk_id), parts.now())
    return meant.states.total()


async def retry_failed(parts: Parts, bulk_id: str, reason: str, actor: Actor) -> Operation:
    """Raises NotFound, Conflict, InvalidRequest."""
    check_reason(reason, required=False)
    async with parts.archive.reading() as connection:
        await reads.bulk_send(connection, bulk_id)
    wanted, now = failed_of(bulk_id), parts.now()
    return await parts.operator.retry_failed(bulk_id, wanted, reason=reason, actor=actor, now=now)


async def suspend_lane(parts: Parts, lane: str, actor: Actor) -> datetime:
    """Nothing goes to this provider for half an hour; answers until when. Raises InvalidRequest."""
    name, now = _lane(lane), parts.now()
    until = now + SUSPENDED_FOR
    async with parts.archive.writing() as connection:
        await suspensions.suspend(
            connection, _PROVIDER, name, until=until, reason=SUSPENDED_HERE, actor=actor, now=now
        )
    return until


async def resume_lane(parts: Parts, lane: str, relay: str, actor: Actor) -> None:
    """End its suspensions, those of its domains too, and its rest. Raises InvalidRequest."""
    name, now = _lane(lane), parts.now()
    async with parts.archive.writing() as connection:
        for one in await suspensions.suspensions(connection, now, active=True, limit=_MOST_SUSPENSIONS):
            if one.destination.lane == name:
                await suspensions.end_suspension(connection, one.id, actor, now)
        on = await relay_name(parts, connection, relay if relay in parts.config.relays else None)
        state = (await lanes.lane_states(connection, on, [name])).get(name)
        if state is not None and (state.cools(now) or state.slow_interval is not None):
            await lanes.cool_by_hand(connection, on, name, until=None, by=actor.by, reason="", now=now)
            target = f"{on}/{name}" if on in parts.config.relays else name
            details = {"cool_down": None}
            await write_audit(connection, actor, "lane.set", at=now, target=target, details=details)
    parts.waker.wake(name, REST_KNOWN)


def _lane(given: str) -> str:
    """Raises InvalidRequest for what cannot be a lane."""
    if not given or len(given) > 255 or not given.isprintable() or " " in given:
        raise InvalidRequest("There is no such lane.", pointer="#/lane", code="unknown_lane")
    return OTHER_LANE if given == OTHER_LANE else lane_of(given)
