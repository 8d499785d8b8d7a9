"""Asking archive and Temporal why things wait: one read for all lanes of a page, workers at most once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.lane_views import paced_providers
from api.schemas import WaitsFor
from api.waits import (
    MessageWait,
    Surroundings,
    wait_before_lanes,
    wait_by_lanes,
    wait_of_message,
)
from postwerk.archive import lanes, queues, reads
from postwerk.archive.coalescing import Coalesced, coalesced_of
from postwerk.archive.lanes import RELAY
from postwerk.archive.operation_notes import OperationNote, operation_notes
from postwerk.archive.reads import BulkSend, Message
from postwerk.archive.suspensions import suspensions_in_force
from postwerk.contracts.options import DEFAULT_RELAY, BulkOptions
from postwerk.contracts.states import ENDED, OPEN_STATES, BulkState, MessageState, SendKind
from postwerk.errors import Conflict, InvalidRequest
from postwerk.rules.suspending import Suspended

MOST_LANES = 20
"""So many resting lanes are looked at for one bulk send."""
_MAY_MOVE = (BulkState.QUEUED, BulkState.RUNNING, BulkState.CANCELLING)


@dataclass(frozen=True, slots=True)
class MessageContext:
    """What a page of messages stands in: their sends, the operations on them, lanes and relays."""

    sends: Mapping[str, BulkSend]
    operations: Mapping[str, OperationNote]
    around: Mapping[str, Surroundings]
    """By the relay, as `BulkOptions` name it."""
    coalesced: Mapping[str, Coalesced]
    """By the bulk send: those that coalesce with others."""


class MessageInContext(NamedTuple):
    """A message and all that is told of it."""

    message: Message
    send: BulkSend
    wait: MessageWait
    operation: OperationNote | None
    now: datetime
    coalesced: Coalesced | None = None


async def relay_name(parts: Parts, connection: AsyncConnection, asked: str | None = None) -> str:
    """The relay that is asked for, else the default one: by the settings, or the only one remembered.

    Raises InvalidRequest for a name that is not known, Conflict when it is not clear which one is meant.
    """
    if asked is not None and asked not in parts.config.relay_names:
        raise InvalidRequest(
            f"There is no such relay; known are {', '.join(parts.config.relay_names)}.",
            pointer="?relay",
            code="unknown_relay",
        )
    if asked in parts.config.relays:
        return str(asked)
    if parts.config.relay:
        return parts.config.relay
    known = [name for name in await queues.relays_known(connection) if name not in parts.config.relays]
    if len(known) > 1:
        raise Conflict("Several relays are known here; set POSTWERK_RELAY_URL for the API to say which.")
    return known[0] if known else DEFAULT_RELAY


async def surroundings(
    parts: Parts, connection: AsyncConnection, names: Iterable[str] | None, options: BulkOptions
) -> Surroundings:
    """What these lanes, or (None) all, and the relay of a bulk send do; the workers are asked apart."""
    relay = options.relay or await _default_relay(parts, connection)
    if names is None:
        states = {state.name: state for state in await lanes.all_lane_states(connection, relay)}
    else:
        states = await lanes.lane_states(connection, relay, [*names, RELAY])
    now = parts.now()
    return Surroundings(
        now,
        relay=states.pop(RELAY, lanes.LaneState(RELAY)),
        lanes=states,
        relay_rate=parts.config.relay_rate,
        unknown_relay="" if options.relay_name in parts.config.relay_names else options.relay_name,
        suspensions=await suspensions_in_force(connection, now),
    )


async def _default_relay(parts: Parts, connection: AsyncConnection) -> str:
    """As well as it is known here; one that may be wrong is better than no answer."""
    if parts.config.relay:
        return parts.config.relay
    known = await queues.relays_known(connection)
    return next((name for name in known if name not in parts.config.relays), DEFAULT_RELAY)


async def surroundings_of(
    parts: Parts, connection: AsyncConnection, sends: Iterable[BulkSend], names: Iterable[str] | None
) -> dict[str, Surroundings]:
    """Those of each relay that one of the sends goes over."""
    lanes_meant = None if names is None else list(names)
    one_of_each = {send.options.relay: send.options for send in sends}
    return {
        relay: await surroundings(parts, connection, lanes_meant, options)
        for relay, options in one_of_each.items()
    }


async def context_of(
    parts: Parts, connection: AsyncConnection, messages: Sequence[Message]
) -> MessageContext:
    """What has to be known besides to tell of these messages; the workers are asked apart."""
    sends = await reads.bulk_sends_named(connection, {message.bulk_id for message in messages})
    return MessageContext(
        sends,
        await operation_notes(connection, {message.operation for message in messages if message.operation}),
        await surroundings_of(parts, connection, sends.values(), {message.lane for message in messages}),
        await coalesced_of(connection, _single(sends.values())),
    )


def _single(sends: Iterable[BulkSend]) -> list[str]:
    return [send.id for send in sends if send.kind is SendKind.MESSAGE]


async def with_waits(
    parts: Parts, messages: Sequence[Message], context: MessageContext
) -> list[MessageInContext]:
    """Each message with what it waits for; no worker is asked for when none of them is open."""
    all_around = context.around
    may_move = any(send.state in _MAY_MOVE for send in context.sends.values())
    if may_move and any(message.state in OPEN_STATES for message in messages):
        workers = await parts.workers.polling()
        all_around = {relay: replace(one, workers=workers) for relay, one in all_around.items()}
    found = []
    for message in messages:
        send, operation = context.sends[message.bulk_id], context.operations.get(message.operation or "")
        around = all_around[send.options.relay]
        coalesced = context.coalesced.get(send.id)
        wait = wait_of_message(message, send, around, operation, coalesced)
        found.append(MessageInContext(message, send, wait, operation, around.now, coalesced))
    return found


async def waits_of_sends(parts: Parts, sends: Sequence[BulkSend]) -> list[WaitsFor | None]:
    """For each bulk send; the few that lanes or retries keep waiting are looked into."""
    if not any(_is_open(send) for send in sends):
        return [None for _ in sends]
    moving = any(send.state in _MAY_MOVE for send in sends)
    workers = await parts.workers.polling() if moving else 0
    async with parts.archive.reading() as connection:
        around = await surroundings_of(parts, connection, sends, None)
        coalesced = await coalesced_of(connection, _single(sends))
        return [
            await _wait_of(
                connection, send, replace(around[send.options.relay], workers=workers), coalesced.get(send.id)
            )
            for send in sends
        ]


async def _wait_of(
    connection: AsyncConnection, send: BulkSend, around: Surroundings, coalesced: Coalesced | None
) -> WaitsFor | None:
    if not _is_open(send):
        return None
    found = wait_before_lanes(send, around, coalesced)
    if found is not None or send.state is not BulkState.RUNNING:
        return found
    now = around.now
    hindered = around.suspensions.whole_lanes(now)
    hindered += [name for name, lane in around.lanes.items() if lane.cools(now) and name not in hindered]
    hindered += [name for name, lane in around.lanes.items() if name not in hindered and _is_slow(lane)]
    hindered += [name for name in paced_providers() if name not in hindered]
    with_open = await queues.lanes_with_open(connection, send.id, hindered[:MOST_LANES])
    suspended = await _suspended_with_open(connection, send, around)
    deferred = await queues.next_deferred(connection, send.id)
    return wait_by_lanes(send, around, with_open, deferred, suspended)


async def _suspended_with_open(
    connection: AsyncConnection, send: BulkSend, around: Surroundings
) -> list[tuple[str, Suspended]]:
    """Suspended domains to which it has mail left, where others share their lane."""
    shared = [] if send.counts[MessageState.SENDING] else around.suspensions.shared(around.now)
    pairs = [(lane, one.name) for lane, one in shared[:MOST_LANES]]
    found = await queues.domains_with_open(connection, send.id, pairs)
    return [(lane, one) for lane, one in shared if (lane, one.name) in found]


def _is_slow(lane: lanes.LaneState) -> bool:
    return lane.slow_interval is not None or lane.own_limits.rate is not None


def _is_open(send: BulkSend) -> bool:
    """Whether it has anything left to send."""
    return send.state not in ENDED and (send.state is BulkState.OPEN or send.finished < send.accepted)
