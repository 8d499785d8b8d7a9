"""Asking archive and Temporal why things wait: one read for all lanes of a page, workers at most once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

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
from postwerk.archive import lanes, queues
from postwerk.archive.lanes import RELAY
from postwerk.archive.reads import BulkSend, Message
from postwerk.contracts.options import DEFAULT_RELAY, BulkOptions
from postwerk.contracts.states import ENDED, OPEN_STATES, BulkState
from postwerk.errors import Conflict, InvalidRequest

MOST_LANES = 20
"""So many resting lanes are looked at for one bulk send."""
_MAY_MOVE = (BulkState.QUEUED, BulkState.RUNNING, BulkState.CANCELLING)


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
    return Surroundings(
        parts.now(),
        relay=states.pop(RELAY, lanes.LaneState(RELAY)),
        lanes=states,
        relay_rate=parts.config.relay_rate,
        unknown_relay="" if options.relay_name in parts.config.relay_names else options.relay_name,
    )


async def _default_relay(parts: Parts, connection: AsyncConnection) -> str:
    """As well as it is known here; one that may be wrong is better than no answer."""
    if parts.config.relay:
        return parts.config.relay
    known = await queues.relays_known(connection)
    return next((name for name in known if name not in parts.config.relays), DEFAULT_RELAY)


async def waits_of_messages(
    parts: Parts, messages: Sequence[Message], send: BulkSend, around: Surroundings
) -> list[MessageWait]:
    """For each message; nobody is asked when none of them is open."""
    if send.state in _MAY_MOVE and any(message.state in OPEN_STATES for message in messages):
        around = replace(around, workers=await parts.workers.polling())
    return [wait_of_message(message, send, around) for message in messages]


async def waits_of_sends(parts: Parts, sends: Sequence[BulkSend]) -> list[WaitsFor | None]:
    """For each bulk send; the few that lanes or retries keep waiting are looked into."""
    if not any(_is_open(send) for send in sends):
        return [None for _ in sends]
    moving = any(send.state in _MAY_MOVE for send in sends)
    workers = await parts.workers.polling() if moving else 0
    async with parts.archive.reading() as connection:
        around = {
            relay: replace(await surroundings(parts, connection, None, send.options), workers=workers)
            for relay, send in {send.options.relay: send for send in sends}.items()
        }
        return [await _wait_of(connection, send, around[send.options.relay]) for send in sends]


async def _wait_of(connection: AsyncConnection, send: BulkSend, around: Surroundings) -> WaitsFor | None:
    if not _is_open(send):
        return None
    found = wait_before_lanes(send, around)
    if found is not None or send.state is not BulkState.RUNNING:
        return found
    now = around.now
    hindered = [name for name, lane in around.lanes.items() if lane.cools(now)]
    hindered += [name for name, lane in around.lanes.items() if name not in hindered and _is_slow(lane)]
    hindered += [name for name in paced_providers() if name not in hindered]
    with_open = await queues.lanes_with_open(connection, send.id, hindered[:MOST_LANES])
    return wait_by_lanes(send, around, with_open, await queues.next_deferred(connection, send.id))


def _is_slow(lane: lanes.LaneState) -> bool:
    return lane.slow_interval is not None or lane.own_limits.rate is not None


def _is_open(send: BulkSend) -> bool:
    """Whether it has anything left to send."""
    return send.state not in ENDED and (send.state is BulkState.OPEN or send.finished < send.accepted)
