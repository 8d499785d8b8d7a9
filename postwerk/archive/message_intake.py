"""Taking in one transactional mail: stored, planned and queued by the fewest statements that do it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.counters import add_to_counters
from postwerk.archive.intake import INTAKE_SHARD, NewBulkSend, store_bulk_send
from postwerk.archive.quotas import charge_quota
from postwerk.archive.suppressions import suppress_listed
from postwerk.contracts.orders import BatchOrder
from postwerk.contracts.states import BulkState, MessageState
from postwerk.rules.providers import OTHER_LANE, is_provider
from postwerk.rules.recipients import NewRecipient

_INSERT_MESSAGE = text("""
    INSERT INTO message (bulk_id, seq, address, name, variables, metadata, lane, state, attempts, deferrals,
        possible_duplicate)
    VALUES (:bulk_id, 1, :address, :name, :variables, :metadata, :lane, 'queued', 0, 0, false)
""")
_INSERT_BATCH = text("""
    INSERT INTO batch (bulk_id, number, lane, first_seq, last_seq, messages, round)
    VALUES (:bulk_id, 1, :lane, 1, 1, 1, 0)
""")
_SET_BATCHES = text("UPDATE bulk_send SET batches = :batches WHERE id = :bulk_id")


async def store_message(
    connection: AsyncConnection, new: NewBulkSend, recipient: NewRecipient, now: datetime
) -> tuple[BatchOrder, ...]:
    """Write a send of one message, queued and planned. Answers its batch; none when it is suppressed.

    The commit after this is what a 202 stands on. Raises Forbidden or QuotaExceeded for its owner's key.
    """
    lane = recipient.lane if is_provider(recipient.lane) else OTHER_LANE
    await store_bulk_send(
        connection,
        new,
        BulkState.QUEUED,
        accepted_at=now,
        deadline=now + new.options.deadline,
        next_seq=2,
        accepted=1,
        batches=1,
    )
    row = recipient._asdict() | {"bulk_id": new.id, "lane": lane}
    await connection.execute(_INSERT_MESSAGE, row)
    await add_to_counters(connection, {(new.id, MessageState.QUEUED): 1}, INTAKE_SHARD)
    await charge_quota(connection, new.owner, 1, now)
    if await suppress_listed(connection, new.id, 1, 1, now, INTAKE_SHARD):
        await connection.execute(_SET_BATCHES, {"bulk_id": new.id, "batches": 0})
        return ()
    await connection.execute(_INSERT_BATCH, {"bulk_id": new.id, "lane": lane})
    return (BatchOrder(bulk_id=new.id, number=1, lane=lane, first_seq=1, last_seq=1, messages=1),)
