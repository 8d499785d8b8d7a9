"""Webhooks in tests: made where the archive is, with events for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.event_cursor import START
from postwerk.archive.ids import new_id
from postwerk.archive.webhook_deliveries import Delivery, deliveries
from postwerk.archive.webhooks import Webhook, create_webhook, new_secret, webhook
from postwerk.contracts.events import EventType
from postwerk.contracts.webhooks import WebhookState

_INSERT = text("""
    INSERT INTO event (at, type, bulk_id, seq, repeated, name, reason)
    VALUES (:at, :type, :bulk_id, :seq, :repeated, :name, :reason)
""")


async def a_webhook(archive: Archive, url: str, **changes: Any) -> Webhook:
    """An enabled one for everything, from the beginning of the outbox."""
    usual: dict[str, Any] = {
        "id": new_id("wh"),
        "owner": "",
        "url": url,
        "description": "",
        "types": None,
        "repeated": False,
        "max_events": 1,
        "max_wait": timedelta(0),
        "state": WebhookState.ENABLED,
        "reason": "",
        "cursor": START,
        "created_at": datetime.now(UTC),
        "changed_at": None,
        "secret": new_secret(),
    }
    made = Webhook(**usual | changes)
    async with archive.writing() as connection:
        await create_webhook(connection, made)
    return made


async def some_events(archive: Archive, count: int, **changes: Any) -> None:
    """Of lanes, one after the other, numbered by their `lane`."""
    usual = {"type": EventType.LANE_COOLING.value, "bulk_id": "", "seq": 0, "repeated": False, "reason": ""}
    at = to_microseconds(datetime.now(UTC))
    rows = [{**usual, "at": at, "name": f"lane{number}", **changes} for number in range(count)]
    async with archive.writing() as connection:
        await connection.execute(_INSERT, rows)


async def stored(archive: Archive, webhook_id: str) -> Webhook:
    async with archive.reading() as connection:
        return await webhook(connection, webhook_id)


async def requests_of(archive: Archive, webhook_id: str) -> list[Delivery]:
    """The oldest first."""
    async with archive.reading() as connection:
        return list(reversed(await deliveries(connection, webhook_id, limit=1000)))
