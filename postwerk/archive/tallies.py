"""Tallies: how often something happened in ten seconds, by lane, for curves. Two days of them are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.counters import SHARDS

STEP = timedelta(seconds=10)
KEPT = timedelta(days=2)
COMPLAINED, LATE_BOUNCED = "complained", "late_bounced"
COUNTED = frozenset(
    {"delivered", "deferred", "bounced", "expired", "failed", "unknown", COMPLAINED, LATE_BOUNCED}
)
"""What is counted: outcomes by their states, and what comes back later. Nothing else makes a row."""
_MICROSECONDS = STEP // timedelta(microseconds=1)
_ADD = text("""
    INSERT INTO tally (at, lane, kind, shard, n) VALUES (:at, :lane, :kind, :shard, :n)
    ON CONFLICT (at, lane, kind, shard) DO UPDATE SET n = tally.n + excluded.n
""")
_RATES = text("""
    SELECT at - (at - CAST(:since AS bigint)) % CAST(:step AS bigint) AS since, kind, sum(n) FROM tally
    WHERE at >= :since AND at < :until GROUP BY 1, kind ORDER BY 1, kind
""")
_RATES_BY_LANE = text("""
    SELECT at - (at - CAST(:since AS bigint)) % CAST(:step AS bigint) AS since, lane, kind, sum(n) FROM tally
    WHERE at >= :since AND at < :until GROUP BY 1, lane, kind ORDER BY 1, lane, kind
""")
_ERASE = {
    "sqlite": text("""
        DELETE FROM tally WHERE (at, lane, kind, shard) IN
            (SELECT at, lane, kind, shard FROM tally WHERE at < :before ORDER BY at LIMIT :limit)
    """),
    "postgresql": text("""
        DELETE FROM tally WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM tally WHERE at < :before ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED
        ))
    """),
}


class Happened(NamedTuple):
    """Something, at some moment (microseconds), to a message of this lane."""

    at: int
    lane: str
    kind: str


class Rate(NamedTuple):
    """`n` times in the step that begins at `at`."""

    at: datetime
    kind: str
    n: int


class LaneRate(NamedTuple):
    """The same, of one lane."""

    at: datetime
    lane: str
    kind: str
    n: int


def count_happened(connection: Connection, happened: Iterable[Happened], shard: int) -> None:
    """Add them up. In one fixed order: two writers never deadlock."""
    counted = Counter(
        (one.at - one.at % _MICROSECONDS, one.lane, str(one.kind)) for one in happened if one.kind in COUNTED
    )
    rows = [
        {"at": at, "lane": lane, "kind": kind, "shard": shard % SHARDS, "n": n}
        for (at, lane, kind), n in sorted(counted.items())
    ]
    if rows:
        connection.execute(_ADD, rows)


async def rates(
    connection: AsyncConnection, since: datetime, until: datetime, step: timedelta = STEP
) -> list[Rate]:
    """What happened from `since` to before `until`, in steps from `since` on; empty ones are missing.

    `since` and `step` are cut to whole tens of seconds.
    """
    rows = await connection.execute(_RATES, _span(since, until, step))
    return [Rate(from_microseconds(at), kind, int(n)) for at, kind, n in rows]


async def rates_by_lane(
    connection: AsyncConnection, since: datetime, until: datetime, step: timedelta = STEP
) -> list[LaneRate]:
    """The same for each lane."""
    rows = await connection.execute(_RATES_BY_LANE, _span(since, until, step))
    return [LaneRate(from_microseconds(at), lane, kind, int(n)) for at, lane, kind, n in rows]


async def erase_tallies(connection: AsyncConnection, now: datetime, limit: int) -> int:
    """The oldest that are past their time; answers how many."""
    where = {"before": to_microseconds(now - KEPT), "limit": limit}
    return (await connection.execute(_ERASE[connection.dialect.name], where)).rowcount


def _span(since: datetime, until: datetime, step: timedelta) -> dict[str, Any]:
    begin = to_microseconds(since)
    return {
        "since": begin - begin % _MICROSECONDS,
        "until": to_microseconds(until),
        "step": max(step // STEP, 1) * _MICROSECONDS,
    }
