"""Permits under rate limits, leased in blocks, so that any number of workers keep a rate together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.rules.pace import SECOND, Limit, Rate, narrowest, reserve

AHEAD = 5 * SECOND
"""Permits are given out for this long in advance: long enough that none falls due unused."""
URGENT_AHEAD = 30 * SECOND
"""The same for transactional mail: it goes behind the permits that are out, before all who queue for more."""
HORIZON = 300 * SECOND
"""A place in the queue is never further away; who comes back by then asks again."""
SOON = 30 * SECOND
"""The same for a lane that is recovering: it may be at full speed again by then."""

_SCOPES = "scope IN :scopes ORDER BY scope"
_CREATE = text("INSERT INTO pace (scope, tat, queue_tat) VALUES (:scope, 0, 0) ON CONFLICT DO NOTHING")
_READ = text(f"SELECT scope, tat, queue_tat FROM pace WHERE {_SCOPES}")
_LOCK = text(f"SELECT scope, tat, queue_tat FROM pace WHERE {_SCOPES} FOR UPDATE")
_ADVANCE = text("UPDATE pace SET tat = :tat WHERE scope = :scope")
_QUEUE = text("UPDATE pace SET queue_tat = :queue_tat WHERE scope = :scope")
# Only while nobody was served after us: a hole further back would have no taker.
_GIVE_BACK = text("UPDATE pace SET tat = :less WHERE scope = :scope AND tat = :tat")
_QUICKEN = text("""
    UPDATE pace SET queue_tat = 0, tat = CASE WHEN tat > :latest THEN :latest ELSE tat END
    WHERE scope = :scope
""")
_STANDING = text("SELECT scope, tat FROM pace WHERE scope IN :scopes").bindparams(
    bindparam("scopes", expanding=True)
)


def bulk_scope(bulk_id: str, rate: Rate) -> str:
    """The scope of a bulk send's own rate.

    Each rate has its own: a worker that learns of a change a second later takes its last permits at the old
    rate from the old scope, and pushes nothing of the new one into the future.
    """
    return f"bulk:{bulk_id}:{rate}"


class Block(NamedTuple):
    """Permits by their times (microseconds); none: come back at `back_at`, your own time."""

    slots: tuple[int, ...]
    back_at: int
    tat: int = 0
    """Where the narrowest limit stands after this block."""


async def lease_block(
    connection: AsyncConnection,
    limits: Sequence[Limit],
    now: int,
    *,
    wanted: int,
    horizon: int = HORIZON,
    ahead: int = AHEAD,
) -> Block:
    """Permits for up to `wanted` messages within the next five seconds, or a place in the queue.

    In a writing transaction. The places are spread by the rate itself, so that thousands of batches that
    wait for the same limit do not all come back at once.
    """
    standing = await _standing(connection, limits)
    tats = [standing[limit.scope][0] for limit in limits]
    permits = reserve(limits, tats, now, wanted=wanted, ahead=ahead)
    if not permits.slots:
        limit = narrowest(limits)
        queue = standing[limit.scope][1]
        back_at = await _queue_up(
            connection, limit.scope, queue, permits.free_at, wanted * limit.interval, now + horizon
        )
        return Block((), back_at)
    for limit, tat in zip(limits, permits.tats, strict=True):
        await connection.execute(_ADVANCE, {"scope": limit.scope, "tat": tat})
    return Block(permits.slots, 0, permits.tats[limits.index(narrowest(limits))])


async def _standing(connection: AsyncConnection, limits: Sequence[Limit]) -> dict[str, tuple[int, int]]:
    scopes = sorted(limit.scope for limit in limits)
    query = _READ if connection.dialect.name == "sqlite" else _LOCK
    query = query.bindparams(bindparam("scopes", expanding=True))
    found = {scope: (tat, queue) for scope, tat, queue in await connection.execute(query, {"scopes": scopes})}
    if len(found) < len(scopes):
        await connection.execute(_CREATE, [{"scope": scope} for scope in scopes])
        return await _standing(connection, limits)
    return found


async def place_after(connection: AsyncConnection, scope: str, earliest: int, spacing: int) -> int:
    """A place in the queue of a limit that lets nobody through before `earliest`, a minute later at most."""
    queue = (await _standing(connection, [Limit(scope, 0, 1, "")]))[scope][1]
    return await _queue_up(connection, scope, queue, earliest, spacing, earliest + 60 * SECOND)


async def _queue_up(
    connection: AsyncConnection, scope: str, queue: int, earliest: int, spacing: int, horizon: int
) -> int:
    """The next place; those for whom the queue is too long are scattered, and ask again by then."""
    place = max(queue, earliest)
    if place >= horizon:
        return earliest + int((horizon - earliest) * (0.5 + random.random() / 2))
    await connection.execute(_QUEUE, {"scope": scope, "queue_tat": place + spacing})
    return place


async def give_back(connection: AsyncConnection, limit: Limit, block: Block, unused: int) -> None:
    """The last `unused` permits of a block were not needed."""
    await connection.execute(
        _GIVE_BACK,
        {"scope": limit.scope, "tat": block.tat, "less": block.tat - unused * limit.interval},
    )


async def quicken(connection: AsyncConnection, scope: str, now: int, interval: int) -> None:
    """The limit has changed: no permit of the old pace is further away than one interval of the new one."""
    await connection.execute(_QUICKEN, {"scope": scope, "latest": now + interval})


async def next_free(connection: AsyncConnection, scopes: Sequence[str]) -> dict[str, int]:
    """Up to when each scope's permits are given out, in microseconds; scopes never used are left out."""
    rows = await connection.execute(_STANDING, {"scopes": list(scopes)})
    return {scope: tat for scope, tat in rows}  # noqa: C416  rows are no pairs to the type checker
