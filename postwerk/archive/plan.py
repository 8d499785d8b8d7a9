"""How a bulk send falls into batches: ranges of seq inside one lane, made of who is not suppressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.bulks import ROWS_PER_COMMIT
from postwerk.archive.suppressions import suppress_listed
from postwerk.contracts.orders import BatchOrder, Plan
from postwerk.rules.partition import CHILDREN_PER_WORKFLOW, recipients_per_child
from postwerk.rules.providers import OTHER_LANE as OTHER_LANE
from postwerk.rules.providers import is_provider

T = TypeVar("T")

# One row per batch: the window numbers a lane's messages, integer division groups them.
_INSERT_BATCHES = text("""
    INSERT INTO batch (bulk_id, number, lane, first_seq, last_seq, messages, round)
    SELECT :bulk_id, CAST(:behind AS bigint) + row_number() OVER (ORDER BY part, lane),
        lane, min(seq), max(seq), count(*), CAST(:round AS bigint)
    FROM (
        SELECT lane, seq, (row_number() OVER (PARTITION BY lane ORDER BY seq) - 1) / :size AS part
        FROM message WHERE bulk_id = :bulk_id AND state IN ('queued', 'held') AND round = :round
    ) AS numbered
    GROUP BY lane, part
""")
_SET_BATCHES = text("UPDATE bulk_send SET batches = :batches WHERE id = :bulk_id")
_BATCHES = text("""
    SELECT bulk_id, number, lane, first_seq, last_seq, messages, round FROM batch
    WHERE bulk_id = :bulk_id AND number BETWEEN :first AND :last ORDER BY number
""")


async def plan_batches(
    connection: AsyncConnection, bulk_id: str, wanted: int | None, *, now: datetime, shard: int
) -> Plan:
    """Write the batches of a bulk send, once, and answer how many there are.

    `wanted` is the request's recipients_per_child. Lanes take turns (batch 1 of each, then batch 2 of
    each ...), so that no lane waits for another to be expanded. Called again it answers the same.
    Who is on the suppression list is in no batch; when everybody is, there are none.
    """
    planned, messages, last_seq = (
        await connection.execute(
            text("SELECT batches, accepted, next_seq - 1 FROM bulk_send WHERE id = :bulk_id"),
            {"bulk_id": bulk_id},
        )
    ).one()
    if planned is None:
        if messages <= ROWS_PER_COMMIT:  # larger ones were prepared before, in several commits
            await suppress_listed(connection, bulk_id, 1, last_seq, now, shard)
            await gather_lanes(connection, bulk_id, await small_lanes(connection, bulk_id))
        size = recipients_per_child(messages, wanted)
        planned = await _cut(connection, bulk_id, size, behind=0, number=0)
    orders = await batches(connection, bulk_id, 1, planned) if planned <= CHILDREN_PER_WORKFLOW else ()
    return Plan(batches=planned, messages=messages, orders=orders)


async def plan_round(
    connection: AsyncConnection, bulk_id: str, number: int, messages: int, wanted: int | None
) -> int:
    """Cut the messages of a later round into batches behind those there are; answers how many these are."""
    behind = await connection.execute(
        text("SELECT COALESCE(max(number), 0) FROM batch WHERE bulk_id = :bulk_id"), {"bulk_id": bulk_id}
    )
    size = recipients_per_child(messages, wanted)
    return await _cut(connection, bulk_id, size, behind=int(behind.scalar_one()), number=number)


async def _cut(connection: AsyncConnection, bulk_id: str, size: int, *, behind: int, number: int) -> int:
    done = await connection.execute(
        _INSERT_BATCHES, {"bulk_id": bulk_id, "size": size, "behind": behind, "round": number}
    )
    await connection.execute(_SET_BATCHES, {"batches": behind + done.rowcount, "bulk_id": bulk_id})
    return done.rowcount


async def batches(connection: AsyncConnection, bulk_id: str, first: int, last: int) -> tuple[BatchOrder, ...]:
    """The planned batches with numbers first to last, inclusive."""
    rows = await connection.execute(_BATCHES, {"bulk_id": bulk_id, "first": first, "last": last})
    return tuple(BatchOrder.model_validate(dict(row)) for row in rows.mappings())


SMALL_LANE = 10
"""Domains with fewer messages than this share the lane `other`: a child each would cost more than it
paces, and a domain that belongs to one person stays out of the workflows (P7)."""
LANES_PER_COMMIT = 500

_SMALL_LANES = text("""
    SELECT lane FROM message WHERE bulk_id = :bulk_id AND lane <> :other
    GROUP BY lane HAVING count(*) < :small
""")
_GATHER = text("UPDATE message SET lane = :other WHERE bulk_id = :bulk_id AND lane = :lane")


async def small_lanes(connection: AsyncConnection, bulk_id: str) -> list[str]:
    """The domains to gather in the lane `other`; nothing once the bulk send is planned."""
    planned = await connection.execute(
        text("SELECT batches FROM bulk_send WHERE id = :bulk_id"), {"bulk_id": bulk_id}
    )
    if planned.scalar_one_or_none() is not None:
        return []
    found = await connection.execute(
        _SMALL_LANES, {"bulk_id": bulk_id, "other": OTHER_LANE, "small": SMALL_LANE}
    )
    return [lane for (lane,) in found if not is_provider(lane)]


async def gather_lanes(connection: AsyncConnection, bulk_id: str, lanes: Sequence[str]) -> None:
    if lanes:
        rows = [{"bulk_id": bulk_id, "other": OTHER_LANE, "lane": lane} for lane in lanes]
        await connection.execute(_GATHER, rows)


def in_groups(all_of_them: Sequence[T], size: int = LANES_PER_COMMIT) -> Iterator[Sequence[T]]:
    """As many as one commit takes: lanes to gather, or messages to suppress."""
    return (all_of_them[start : start + size] for start in range(0, len(all_of_them), size))
