"""Counters: how many messages of a bulk send stand in each state, kept in the transaction that moves them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.contracts.states import MessageState

SHARDS = 16
"""Writers in several processes add to different rows, so that none waits for another's commit."""

_ADD = text("""
    INSERT INTO counter (bulk_id, state, shard, n) VALUES (:bulk_id, :state, :shard, :n)
    ON CONFLICT (bulk_id, state, shard) DO UPDATE SET n = counter.n + excluded.n
""")
_COUNTS = text("SELECT state, sum(n) FROM counter WHERE bulk_id = :bulk_id GROUP BY state")


def count_moves(connection: Connection, moved: Mapping[tuple[str, str], int], shard: int) -> None:
    """Add the differences, (bulk id, state) -> n. In one fixed order: two writers never deadlock."""
    rows = [
        {"bulk_id": bulk_id, "state": str(state), "shard": shard, "n": n}
        for (bulk_id, state), n in sorted(moved.items())
        if n
    ]
    if rows:
        connection.execute(_ADD, rows)


async def add_to_counters(
    connection: AsyncConnection, moved: Mapping[tuple[str, str], int], shard: int
) -> None:
    """`count_moves` on an asynchronous connection."""
    await connection.run_sync(count_moves, moved, shard)


async def counts_of(connection: AsyncConnection, bulk_id: str) -> dict[MessageState, int]:
    """Messages of the bulk send by state; states without a message are left out."""
    rows = await connection.execute(_COUNTS, {"bulk_id": bulk_id})
    return {MessageState(state): int(n) for state, n in rows if n}
