"""A recipient unsubscribes by the link in a mail: who that is, and what of theirs still waits."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.outbox_writing import write_unsubscribed
from postwerk.archive.suppressions import NewSuppression, add_suppressions
from postwerk.contracts.content import Content
from postwerk.rules.suppressing import UNSUBSCRIBE
from postwerk.rules.tokens import TokenOf

SOURCE = "recipient"
_SENT = text("""
    SELECT message.address, content.document FROM message
    JOIN bulk_send ON bulk_send.id = message.bulk_id JOIN content ON content.id = bulk_send.content_id
    WHERE message.bulk_id = :bulk_id AND message.seq = :seq
""")
# What is not planned yet is looked through when it is. One look into the index over addresses for each send.
_WAITING = text("""
    SELECT bulk_send.id, (
        SELECT message.seq FROM message WHERE message.bulk_id = bulk_send.id
            AND lower(message.address) = lower(CAST(:address AS text))
            AND message.state IN ('queued', 'deferred')
    ) AS seq
    FROM bulk_send WHERE bulk_send.state IN ('running', 'paused') AND bulk_send.kind = 'bulk'
""")


class SentTo(NamedTuple):
    """Whom a message is for, and who sent it."""

    address: str
    sender: str
    """The display name, or else the address, in the From header."""


async def sent_to(connection: AsyncConnection, message: TokenOf) -> SentTo | None:
    """None when the archive holds no such message."""
    values = {"bulk_id": message.bulk_id, "seq": message.seq}
    row = (await connection.execute(_SENT, values)).one_or_none()
    if row is None:
        return None
    sender = Content.model_validate_json(row.document).sender
    return SentTo(row.address, sender.name or sender.email)


async def unsubscribe(connection: AsyncConnection, address: str, message: TokenOf, now: datetime) -> bool:
    """List the address for bulk mail, and tell of it; False when that was known before.

    `message`: whose link was used.
    """
    entry = NewSuppression(address, UNSUBSCRIBE, "by the link in a mail", message.bulk_id)
    if not await add_suppressions(connection, [entry], source=SOURCE, now=now):
        return False
    await write_unsubscribed(connection, message, now)
    await write_audit(
        connection,
        Actor(SOURCE),
        "suppression.add",
        at=now,
        target=address.lower(),
        reason=UNSUBSCRIBE,
        count=1,
        details={"source": SOURCE, "bulk_send": message.bulk_id},
    )
    return True


async def waiting_bulk_mail(connection: AsyncConnection, address: str) -> list[TokenOf]:
    """The messages to this address that wait in running bulk sends."""
    found = await connection.execute(_WAITING, {"address": address})
    return [TokenOf(bulk_id, seq) for bulk_id, seq in found if seq is not None]
