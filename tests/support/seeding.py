"""Bulk sends put straight into the archive, by the same functions as the API's, for tests below the door."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend, add_recipients, queue_bulk_send, store_bulk_send
from postwerk.archive.plan import plan_batches
from postwerk.contracts.content import Content, Mailbox
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.orders import BulkSendInput
from postwerk.contracts.states import BulkState, SendKind
from postwerk.rules.providers import lane_of
from postwerk.rules.recipients import NewRecipient
from postwerk.rules.starting import start_order


def a_content(**changes: Any) -> Content:
    fields = {
        "sender": Mailbox(email="news@shop.example", name="Shop"),
        "subject": "Hello {{ to }}",
        "text": "Dear {{ to }},\nspring is here.\n",
    }
    return Content(**(fields | changes))


def a_recipient(address: str) -> NewRecipient:
    return NewRecipient(address, "", None, None, lane_of(address.partition("@")[2]))


async def a_stored_bulk_send(
    archive: Archive,
    addresses: Sequence[str],
    *,
    content: Content | None = None,
    kind: SendKind = SendKind.BULK,
    **options: Any,
) -> BulkSendInput:
    """A queued bulk send, planned, and the order that starts its workflow."""
    now = datetime.now(UTC)
    chosen = BulkOptions(**options)
    bulk_id = new_bulk_id()
    new = NewBulkSend(bulk_id, "test", content or a_content(), chosen, None, now, kind=kind)
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        await add_recipients(connection, bulk_id, [a_recipient(address) for address in addresses])
        await queue_bulk_send(connection, bulk_id, now, chosen)
        plan = await plan_batches(connection, bulk_id, chosen.recipients_per_child, now=now, shard=0)
    return start_order(
        bulk_id, len(addresses), chosen, plan.orders if len(addresses) <= 100 else None, kind=kind
    )
