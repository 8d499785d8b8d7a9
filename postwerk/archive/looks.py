"""What a look at a bulk send finds: bounded reads, whatever its size."""

from __future__ import annotations

from datetime import datetime

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.counters import counts_of
from postwerk.archive.lanes import EVIDENCE, RELAY, REPLY, SESSION, LaneState, all_lane_states
from postwerk.archive.queues import lanes_with_open, next_deferred
from postwerk.archive.suspensions import suspensions_in_force
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.orders import Look, Rest
from postwerk.contracts.states import MessageState
from postwerk.rules.reply_words import plain_words
from postwerk.rules.sending_window import in_words, is_closed, next_opening

MOST_LANES = 20
"""So many lanes that rest are told of."""
_OPTIONS = text("SELECT options FROM bulk_send WHERE id = :bulk_id")


async def look_at(connection: AsyncConnection, bulk_id: str, now: datetime) -> Look:
    """How it stands, and what is left of it waits for; of a send that is not there, nothing."""
    counts = await counts_of(connection, bulk_id)
    row = (await connection.execute(_OPTIONS, {"bulk_id": bulk_id})).one_or_none()
    found = Look(states=counts, at=now)
    if row is None or not _waits(counts):
        return found
    options = BulkOptions.model_validate(orjson.loads(row.options))
    deferred = await next_deferred(connection, bulk_id) if counts.get(MessageState.DEFERRED) else None
    closed = options.window if is_closed(options.window, now) else None
    return found.model_copy(
        update={
            "rests": await _rests(connection, bulk_id, options.relay_name, now),
            "next_at": deferred.at if deferred else None,
            "next_lane": deferred.lane if deferred else "",
            "next_why": plain_words(deferred.last_reply) if deferred else "",
            "window": in_words(closed) if closed else "",
            "window_opens": next_opening(closed, now) if closed else None,
        }
    )


def _waits(counts: dict[MessageState, int]) -> bool:
    return bool(counts.get(MessageState.QUEUED) or counts.get(MessageState.DEFERRED))


async def _rests(connection: AsyncConnection, bulk_id: str, relay: str, now: datetime) -> tuple[Rest, ...]:
    """The relay first; then the lanes that cool down or are suspended, as far as they hold up this send."""
    cooling = {lane.name: lane for lane in await all_lane_states(connection, relay) if lane.cools(now)}
    found = {name: _cools(lane) for name, lane in cooling.items()}
    suspended = await suspensions_in_force(connection, now)
    for name in suspended.whole_lanes(now):
        one = suspended.of_lane(name, now)
        if one and (name not in found or found[name].until < one.until):
            found[name] = Rest(lane=name, until=one.until, why="suspended by an operator")
    theirs = await lanes_with_open(
        connection, bulk_id, [name for name in found if name != RELAY][:MOST_LANES]
    )
    return tuple(found[name] for name in (RELAY, *theirs) if name in found)


def _cools(lane: LaneState) -> Rest:
    assert lane.cool_until is not None
    ordered = lane.origin not in (REPLY, EVIDENCE, SESSION)
    why = "ordered by an operator" if ordered else plain_words(lane.last_refusal) or lane.reason
    return Rest(lane=lane.name, until=lane.cool_until, why=why)
