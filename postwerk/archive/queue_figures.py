"""The queue in some numbers, by the counters: what it costs does not grow with the messages."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.lanes import RELAY
from postwerk.observe.metrics.queue import QueueFigures
from postwerk.rules.providers import provider_label

_SENDS = text("""
    SELECT state, count(*) FROM bulk_send
    WHERE state IN ('open', 'scheduled', 'queued', 'running', 'paused', 'cancelling') GROUP BY state
""")
_MESSAGES = text("""
    SELECT counter.state, sum(counter.n) FROM bulk_send JOIN counter ON counter.bulk_id = bulk_send.id
    WHERE bulk_send.state IN ('queued', 'running', 'paused', 'cancelling')
        AND counter.state IN ('queued', 'sending', 'deferred', 'held')
    GROUP BY counter.state
""")
_OLDEST = text("""
    SELECT min(since) FROM (
        SELECT coalesce(bulk_send.begins_at, bulk_send.accepted_at) AS since
        FROM bulk_send JOIN counter ON counter.bulk_id = bulk_send.id AND counter.state = 'queued'
        WHERE bulk_send.state IN ('queued', 'running')
        GROUP BY bulk_send.id, bulk_send.begins_at, bulk_send.accepted_at HAVING sum(counter.n) > 0
    ) AS waiting
""")
_RESTS = text("SELECT relay, name, cool_until FROM lane WHERE name = '' OR cool_until > :now")
_SUSPENSIONS = text("SELECT count(*) FROM suspension WHERE until > :now AND ended_at IS NULL")


async def queue_figures(connection: AsyncConnection, now: datetime) -> QueueFigures:
    """Where the queue stands at `now`."""
    cooling, resting = await _rests(connection, now)
    return QueueFigures(
        messages={state: int(n) for state, n in await connection.execute(_MESSAGES)},
        sends={state: int(n) for state, n in await connection.execute(_SENDS)},
        oldest_queued=await _oldest_queued(connection, now),
        cooling=cooling,
        resting_relays=resting,
        suspensions=(await connection.execute(_SUSPENSIONS, {"now": to_microseconds(now)})).scalar_one(),
    )


async def _oldest_queued(connection: AsyncConnection, now: datetime) -> float:
    since = (await connection.execute(_OLDEST)).scalar()
    return 0.0 if since is None else max(0.0, (now - from_microseconds(since)).total_seconds())


async def _rests(
    connection: AsyncConnection, now: datetime
) -> tuple[Counter[tuple[str, str]], dict[str, bool]]:
    """How many lanes cool down, by relay and provider; and which relays rest as a whole."""
    cooling: Counter[tuple[str, str]] = Counter()
    resting: dict[str, bool] = {}
    at = to_microseconds(now)
    for relay, lane, until in await connection.execute(_RESTS, {"now": at}):
        rests = until is not None and until > at
        if lane == RELAY:
            resting[relay] = rests
        else:
            cooling[relay, provider_label(lane)] += rests
    return cooling, resting
