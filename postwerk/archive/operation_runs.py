"""Carrying out operations: a small one within the call that asks for it, a large one page by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive import rounds
from postwerk.archive.engine import Archive
from postwerk.archive.operating import change_messages
from postwerk.archive.operations import (
    Operation,
    Page,
    claim_page,
    end_operation,
    next_page,
    note_page,
    operation,
)
from postwerk.contracts.queue import OperationState, Verb

_CANCELLED_MEANWHILE = "the bulk send was cancelled meanwhile"


async def carry_out(
    archive: Archive, operation_id: str, *, now: Callable[[], datetime], shard: int
) -> Operation:
    """Go on where it stands until every message it means is changed. Any number may try at once."""
    while True:
        async with archive.reading() as connection:
            op = await operation(connection, operation_id)
            if op.state is not OperationState.RUNNING:
                return op
            page = await next_page(connection, op)
        async with archive.writing() as connection:
            await carry_out_page(connection, op, page, now=now(), shard=shard)


async def carry_out_page(
    connection: AsyncConnection, op: Operation, page: Page, *, now: datetime, shard: int
) -> Operation:
    """Change the page's messages and note how far it has come, in one transaction."""
    if not await claim_page(connection, op, page):
        return op
    again = op.verb is Verb.RETRY_FAILED
    if again and not await rounds.may_go_on(connection, op):
        await rounds.give_up_round(connection, op)
        await end_operation(connection, op.id, OperationState.FAILED, _CANCELLED_MEANWHILE)
        return await operation(connection, op.id)
    extra = timedelta(microseconds=(op.details or {}).get("extra", 0))
    changed = await change_messages(connection, op, page.found, now=now, shard=shard, extra=extra)
    if again and page.last:
        await rounds.end_round(connection, op, op.changed + changed, now)
    return await note_page(connection, op, page, changed=changed, now=now)
