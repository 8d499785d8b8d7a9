"""How a bulk send falls into batches: ranges of seq inside one lane."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.contracts.orders import BatchOrder, Plan
from postwerk.rules.partition import CHILDREN_PER_WORKFLOW, recipients_per_child

# One row per batch: the window numbers a lane's messages, integer division groups them.
_INSERT_BATCHES = text("""
    INSERT INTO batch (bulk_id, number, lane, first_seq, last_seq, messages)
    SELECT :bulk_id, row_number() OVER (ORDER BY part, lane), lane, min(seq), max(seq), count(*)
    FROM (
        SELECT lane, seq, (row_number() OVER (PARTITION BY lane ORDER BY seq) - 1) / :size AS part
        FROM message WHERE bulk_id = :bulk_id
    ) AS numbered
    GROUP BY lane, part
""")
_BATCHES = text("""
    SELECT bulk_id, number, lane, first_seq, last_seq, messages FROM batch
    WHERE bulk_id = :bulk_id AND number BETWEEN :first AND :last ORDER BY number
""")


async def plan_batches(connection: AsyncConnection, bulk_id: str, wanted: int | None) -> Plan:
    """Write the batches of a bulk send, once, and answer how many there are.

    `wanted` is the request's recipients_per_child. Lanes take turns (batch 1 of each, then batch 2 of
    each ...), so that no lane waits for another to be expanded. Called again it answers the same.
    """
    planned, messages = (
        await connection.execute(
            text("SELECT batches, accepted FROM bulk_send WHERE id = :bulk_id"), {"bulk_id": bulk_id}
        )
    ).one()
    if planned is None:
        size = recipients_per_child(messages, wanted)
        done = await connection.execute(_INSERT_BATCHES, {"bulk_id": bulk_id, "size": size})
        planned = done.rowcount
        await connection.execute(
            text("UPDATE bulk_send SET batches = :batches WHERE id = :bulk_id"),
            {"batches": planned, "bulk_id": bulk_id},
        )
    orders = await batches(connection, bulk_id, 1, planned) if planned <= CHILDREN_PER_WORKFLOW else ()
    return Plan(batches=planned, messages=messages, orders=orders)


async def batches(connection: AsyncConnection, bulk_id: str, first: int, last: int) -> tuple[BatchOrder, ...]:
    """The planned batches with numbers first to last, inclusive."""
    rows = await connection.execute(_BATCHES, {"bulk_id": bulk_id, "first": first, "last": last})
    return tuple(BatchOrder.model_validate(dict(row)) for row in rows.mappings())
