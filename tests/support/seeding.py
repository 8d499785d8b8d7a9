"""Bulk sends put straight into the archive, by the same functions as the API's, for tests below the door."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_bulk_id, new_id
from postwerk.archive.intake import (
    NewBulkSend,
    add_recipients,
    open_bulk_send,
    queue_bulk_send,
    store_bulk_send,
)
from postwerk.archive.plan import plan_batches
from postwerk.archive.schedules import Schedule, create_schedule
from postwerk.contracts.content import Content, Mailbox
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.orders import BulkSendInput
from postwerk.contracts.schedules import ScheduleSpec, ScheduleState
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
    """A queued bulk send, planned, and the order that starts its workflow; with `send_at` a scheduled one."""
    now = datetime.now(UTC)
    chosen = BulkOptions(**options)
    bulk_id = new_bulk_id()
    new = NewBulkSend(bulk_id, "test", content or a_content(), chosen, None, now, kind=kind)
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        await add_recipients(connection, bulk_id, [a_recipient(address) for address in addresses])
        await queue_bulk_send(connection, bulk_id, now, chosen)
        if chosen.send_at is not None:
            return start_order(bulk_id, len(addresses), chosen, None)
        plan = await plan_batches(connection, bulk_id, chosen.recipients_per_child, now=now, shard=0)
    return start_order(
        bulk_id, len(addresses), chosen, plan.orders if len(addresses) <= 100 else None, kind=kind
    )


async def a_stored_schedule(archive: Archive, addresses: Sequence[str]) -> str:
    """A schedule with its model, of which Temporal knows nothing yet; answers its id."""
    now = datetime.now(UTC)
    model = NewBulkSend(new_bulk_id(), "test", a_content(), BulkOptions(), None, now, kind=SendKind.MODEL)
    made = Schedule(
        new_id("sch"), "test", "", ScheduleSpec(cron="0 8 * * mon"), model.id, ScheduleState.ACTIVE,
        "", now, None, None, "", 1, 0,
    )  # fmt: skip
    async with archive.writing() as connection:
        await store_bulk_send(connection, model, BulkState.STORING)
        await add_recipients(connection, model.id, [a_recipient(address) for address in addresses])
        await open_bulk_send(connection, model.id)
        await create_schedule(connection, made)
    return made.id
