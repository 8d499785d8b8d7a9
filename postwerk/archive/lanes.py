"""Lanes as all workers remember them: cooling down, recovering, and the limits an operator set.

The row with the empty name is the relay itself: whether it gives a session at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.pace import quicken
from postwerk.rules.cooling import (
    OUR_FAULT_PAUSE,
    Cooling,
    cool_down,
    first_step,
    next_step,
    probe_wait,
)
from postwerk.rules.pace import Rate
from postwerk.rules.providers import LaneLimits, limits_of

REPLY, EVIDENCE, SESSION = "reply", "evidence", "session"
"""Origins of a cool-down; any other is the name of the operator who ordered it."""
RELAY = ""
"""Name of the row that is about the relay as a whole."""
_COLUMNS = """name, failures, cool_until, reason, origin, slow_interval, probe_until, last_refusal,
    last_refused_at, rate, connections, messages_per_connection, set_by, set_reason, set_at, set_until"""
_ONE = f"SELECT {_COLUMNS} FROM lane WHERE relay = :relay AND name = :name"
_ALL = text(f"SELECT {_COLUMNS} FROM lane WHERE relay = :relay ORDER BY name")
_SOME = {
    "sqlite": text(
        f"SELECT {_COLUMNS} FROM lane WHERE relay = :relay AND name IN (SELECT value FROM json_each(:names))"
    ),
    "postgresql": text(
        f"SELECT {_COLUMNS} FROM lane WHERE relay = :relay "
        "AND name IN (SELECT jsonb_array_elements_text(CAST(:names AS jsonb)))"
    ),
}
_CREATE = text("""
    INSERT INTO lane (relay, name, failures, reason) VALUES (:relay, :name, 0, '') ON CONFLICT DO NOTHING
""")
_COOL = text("""
    UPDATE lane SET failures = :failures, cool_until = :until, reason = :reason, origin = :origin,
        slow_interval = :slow_interval, probe_until = NULL, last_refusal = :refusal, last_refused_at = :now
    WHERE relay = :relay AND name = :name
""")
_SPEED_UP = text("""
    UPDATE lane SET slow_interval = :slow_interval, failures = :failures, reason = :reason, origin = :origin
    WHERE relay = :relay AND name = :name
""")
_RESTORED = text("""
    UPDATE lane SET failures = 0, cool_until = NULL, probe_until = NULL, reason = '', origin = ''
    WHERE relay = :relay AND name = '' AND failures > 0
""")
_CLAIM = text("""
    UPDATE lane SET probe_until = :until WHERE relay = :relay AND name = '' AND failures > 0
    AND (probe_until IS NULL OR probe_until <= :now) AND (cool_until IS NULL OR cool_until <= :now)
""")
_END_COOL_DOWN = text("""
    UPDATE lane SET cool_until = NULL, probe_until = NULL,
        slow_interval = CASE WHEN origin = 'reply' THEN slow_interval END
    WHERE relay = :relay AND name = :name
        AND (origin IN ('evidence', 'session') OR origin = 'reply' AND last_refused_at <= :before)
""")
_SET = text("""
    UPDATE lane SET rate = :rate, connections = :connections,
        messages_per_connection = :messages_per_connection, set_by = :set_by, set_reason = :set_reason,
        set_at = :now, set_until = :set_until
    WHERE relay = :relay AND name = :name
""")
_USE = text("""
    INSERT INTO lane_use (relay, name, worker, at, connections, attempts_per_minute)
    VALUES (:relay, :name, :worker, :at, :connections, :attempts_per_minute)
    ON CONFLICT (relay, name, worker) DO UPDATE SET at = excluded.at, connections = excluded.connections,
        attempts_per_minute = excluded.attempts_per_minute
""")
_FORGET_USE = text("DELETE FROM lane_use WHERE at < :before")
_IN_USE = text("""
    SELECT name, sum(connections), sum(attempts_per_minute) FROM lane_use
    WHERE relay = :relay AND at >= :since GROUP BY name ORDER BY name
""")


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane, or the relay, as it stands. `failures`: rate replies, or failed sessions, in a row."""

    name: str
    failures: int = 0
    cool_until: datetime | None = None
    reason: str = ""
    origin: str = ""
    slow_interval: int | None = None
    probe_until: datetime | None = None
    last_refusal: str = ""
    last_refused_at: datetime | None = None
    own_limits: LaneLimits = field(default_factory=LaneLimits)
    """Set by an operator; see `in_force`."""
    set_by: str = ""
    set_reason: str = ""
    set_at: datetime | None = None
    set_until: datetime | None = None

    def cools(self, now: datetime) -> bool:
        return self.cool_until is not None and self.cool_until > now

    def in_force(self, now: datetime) -> LaneLimits:
        """The operator's limits, unless they have ended."""
        ended = self.set_until is not None and self.set_until <= now
        return LaneLimits() if ended else self.own_limits

    def rate(self, now: datetime) -> Rate | None:
        """The operator's rate, else the provider's."""
        return self.in_force(now).rate or limits_of(self.name).rate

    def slow_pace(self, now: datetime) -> int | None:
        """Microseconds between two messages while it recovers, unless its rate is narrower anyway."""
        rate = self.rate(now)
        if self.slow_interval is None or (rate and rate.interval >= self.slow_interval):
            return None
        return self.slow_interval


@dataclass(frozen=True, slots=True)
class LaneUse:
    """What a lane does just now, in one worker or in all of them."""

    name: str
    connections: int
    attempts_per_minute: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """What slowed a lane: the reply as "421 4.7.28 text", its reason's name, and its own time if any."""

    reply: str
    reason: str
    cool_for: timedelta | None = None
    hint: timedelta | None = None
    only_suspected: bool = False
    """No reply says so by itself; nearly all of them together do."""


def lane_scope(relay: str, name: str) -> str:
    """The scope of a lane's rate; of the relay's own for the empty name."""
    return f"lane:{relay}/{name}" if name else f"relay:{relay}"


async def lane_states(connection: AsyncConnection, relay: str, names: Sequence[str]) -> dict[str, LaneState]:
    """The rows of these lanes; a lane of which nothing is remembered is left out."""
    rows = await connection.execute(
        _SOME[connection.dialect.name], {"relay": relay, "names": orjson.dumps(list(names)).decode()}
    )
    return {row.name: _state(row) for row in rows}


async def all_lane_states(connection: AsyncConnection, relay: str) -> list[LaneState]:
    """Every lane of which something is remembered, the relay's own row too."""
    return [_state(row) for row in await connection.execute(_ALL, {"relay": relay})]


async def rate_refused(
    connection: AsyncConnection, relay: str, name: str, refusal: Refusal, cooling: Cooling, now: datetime
) -> LaneState:
    """A server says that we are too fast: the lane cools down. The first of many who hear it counts."""
    lane = await _locked(connection, relay, name)
    if lane.cools(now):
        return lane
    rest = cool_down(cooling, lane.failures + 1, refusal.cool_for, refusal.hint)
    origin = EVIDENCE if refusal.only_suspected else REPLY
    await _cool(connection, relay, lane, now, rest, refusal, origin=origin, slow_interval=first_step(rest))
    await quicken(connection, lane_scope(relay, name), to_microseconds(now + rest), 0)
    return await _locked(connection, relay, name)


async def session_failed(
    connection: AsyncConnection,
    relay: str,
    refusal: Refusal,
    cooling: Cooling,
    now: datetime,
    *,
    our_fault: bool,
) -> LaneState:
    """The relay gave no session: nobody tries for a while, then one does. `our_fault`: wrong settings."""
    row = await _locked(connection, relay, RELAY)
    if row.cools(now):
        return row
    told = probe_wait(cooling, row.failures + 1, refusal.cool_for, refusal.hint)
    rest = OUR_FAULT_PAUSE if our_fault else told
    await _cool(connection, relay, row, now, rest, refusal, origin=SESSION, slow_interval=None)
    return await _locked(connection, relay, RELAY)


async def _cool(
    connection: AsyncConnection,
    relay: str,
    lane: LaneState,
    now: datetime,
    rest: timedelta,
    refusal: Refusal,
    *,
    origin: str,
    slow_interval: int | None,
) -> None:
    await connection.execute(
        _COOL,
        {
            "relay": relay,
            "name": lane.name,
            "failures": lane.failures + 1,
            "now": to_microseconds(now),
            "until": to_microseconds(now + rest),
            "reason": refusal.reason,
            "origin": origin,
            "slow_interval": slow_interval,
            "refusal": refusal.reply,
        },
    )


async def went_through(connection: AsyncConnection, relay: str, name: str, now: datetime) -> LaneState:
    """A message was taken on a lane that is slow: it goes twice as fast from now on, at last freely."""
    lane = await _locked(connection, relay, name)
    if lane.slow_interval is None or lane.cools(now):
        return lane
    step = next_step(lane.slow_interval)
    values = {"slow_interval": step, "failures": lane.failures, "reason": lane.reason, "origin": lane.origin}
    if step is None:
        values |= {"failures": 0, "reason": "", "origin": ""}
    await connection.execute(_SPEED_UP, {"relay": relay, "name": name, **values})
    await quicken(connection, lane_scope(relay, name), to_microseconds(now), step or 0)
    return await _locked(connection, relay, name)


async def session_restored(connection: AsyncConnection, relay: str) -> None:
    await connection.execute(_RESTORED, {"relay": relay})


async def claim_probe(connection: AsyncConnection, relay: str, now: datetime, until: datetime) -> bool:
    """Whether the caller may try the relay now: one does, the others wait until it is known."""
    done = await connection.execute(
        _CLAIM, {"relay": relay, "now": to_microseconds(now), "until": to_microseconds(until)}
    )
    return done.rowcount == 1 or not (await _locked(connection, relay, RELAY)).failures


async def end_cool_down(connection: AsyncConnection, relay: str, name: str, before: datetime) -> None:
    """Somebody wants a try now. Not when a rate reply came after `before`: one try, not hundreds.

    A rest that an operator ordered is theirs to end (`cool_by_hand`).
    """
    await connection.execute(
        _END_COOL_DOWN, {"relay": relay, "name": name, "before": to_microseconds(before)}
    )


async def set_limits(
    connection: AsyncConnection,
    relay: str,
    name: str,
    limits: LaneLimits,
    *,
    by: str,
    reason: str,
    now: datetime,
    until: datetime | None,
) -> LaneState:
    """An operator's own limits, until `until` or for good; empty ones take them back."""
    await _locked(connection, relay, name)
    await connection.execute(
        _SET,
        {
            "relay": relay,
            "name": name,
            "rate": str(limits.rate) if limits.rate else "",
            "connections": limits.connections,
            "messages_per_connection": limits.messages_per_connection,
            "set_by": by,
            "set_reason": reason,
            "now": to_microseconds(now),
            "set_until": to_microseconds(until) if until else None,
        },
    )
    interval = limits.rate.interval if limits.rate else 0
    await quicken(connection, lane_scope(relay, name), to_microseconds(now), interval)
    return await _locked(connection, relay, name)


async def cool_by_hand(
    connection: AsyncConnection,
    relay: str,
    name: str,
    *,
    until: datetime | None,
    by: str,
    reason: str,
    now: datetime,
) -> LaneState:
    """An operator lets the lane rest until then; None ends its rest, and its recovering, at once.

    Places in its queue were given out for the time after the old rest: they count no more.
    """
    await _locked(connection, relay, name)
    await connection.execute(
        text("""
            UPDATE lane SET cool_until = :until, probe_until = NULL, slow_interval = NULL, failures = 0,
                reason = :reason, origin = :by WHERE relay = :relay AND name = :name
        """),
        {
            "relay": relay,
            "name": name,
            "until": to_microseconds(until) if until else None,
            "reason": reason if until else "",
            "by": by if until else "",
        },
    )
    await quicken(connection, lane_scope(relay, name), to_microseconds(now), 0)
    return await _locked(connection, relay, name)


async def report_use(
    connection: AsyncConnection, relay: str, worker: str, uses: Sequence[LaneUse], now: datetime
) -> None:
    """What this worker does on its lanes; old rows, of whichever worker, are forgotten."""
    at = to_microseconds(now)
    for use in uses:
        values = {
            "name": use.name,
            "connections": use.connections,
            "attempts_per_minute": use.attempts_per_minute,
        }
        await connection.execute(_USE, {"relay": relay, "worker": worker, "at": at, **values})
    await connection.execute(_FORGET_USE, {"before": at - 3600 * 1_000_000})


async def lanes_in_use(connection: AsyncConnection, relay: str, since: datetime) -> dict[str, LaneUse]:
    """What all workers together do on each lane, by rows not older than `since`."""
    rows = await connection.execute(_IN_USE, {"relay": relay, "since": to_microseconds(since)})
    return {name: LaneUse(name, int(n), float(rate)) for name, n, rate in rows}


async def _locked(connection: AsyncConnection, relay: str, name: str) -> LaneState:
    """The row, made if need be, and ours until the transaction ends (SQLite has one writer anyway)."""
    query = text(_ONE if connection.dialect.name == "sqlite" else f"{_ONE} FOR UPDATE")
    where = {"relay": relay, "name": name}
    row = (await connection.execute(query, where)).one_or_none()
    if row is None:
        await connection.execute(_CREATE, where)
        row = (await connection.execute(query, where)).one()
    return _state(row)


def _state(row: Row[*tuple[Any, ...]]) -> LaneState:
    values = dict(row._mapping)
    rate = values.pop("rate")
    limits = LaneLimits(
        values.pop("connections"), values.pop("messages_per_connection"), Rate.parse(rate) if rate else None
    )
    for moment in ("cool_until", "probe_until", "last_refused_at", "set_at", "set_until"):
        if values[moment] is not None:
            values[moment] = from_microseconds(values[moment])
    return LaneState(own_limits=limits, **values)
