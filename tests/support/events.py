"""What the outbox of an archive holds."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.engine import Archive
from postwerk.archive.outbox import START, Cursor, events_after
from postwerk.contracts.events import Event


async def all_events(archive: Archive, after: Cursor = START) -> list[Event]:
    async with archive.reading() as connection:
        return await _all(connection, after)


async def _all(connection: AsyncConnection, cursor: Cursor) -> list[Event]:
    found: list[Event] = []
    while True:
        page = await events_after(connection, cursor, limit=500)
        found += page.events
        if page.reached == cursor:
            return found
        cursor = page.reached


async def types_of(archive: Archive) -> list[str]:
    """In their order."""
    return [event.type.value for event in await all_events(archive)]
