"""Changing the options of a bulk send that is there already; workers see that `changes` has moved."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive import reads
from postwerk.archive.reads import BulkSend
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import ENDED, BulkState
from postwerk.errors import Conflict

_LOCK = text("SELECT id FROM bulk_send WHERE id = :bulk_id FOR UPDATE")
_CHANGE = text("UPDATE bulk_send SET options = :options, changes = changes + 1 WHERE id = :bulk_id")
_RENAME = text("UPDATE bulk_send SET name = :name WHERE id = :bulk_id")


async def bulk_send_to_change(connection: AsyncConnection, bulk_id: str) -> BulkSend:
    """The bulk send, ours until the transaction ends. Raises NotFound, and Conflict when it is too late."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        await connection.execute(_LOCK, {"bulk_id": bulk_id})
    send = await reads.bulk_send(connection, bulk_id)
    if send.state in ENDED or send.state is BulkState.CANCELLING:
        raise Conflict(f"This bulk send is {send.state}; there is nothing left to change.")
    return send


async def change_options(connection: AsyncConnection, bulk_id: str, options: BulkOptions) -> None:
    """Write them over the old ones. In the writing transaction that read these."""
    await connection.execute(_CHANGE, {"bulk_id": bulk_id, "options": options.model_dump_json()})


async def rename(connection: AsyncConnection, bulk_id: str, name: str) -> None:
    await connection.execute(_RENAME, {"bulk_id": bulk_id, "name": name})
