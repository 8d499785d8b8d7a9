"""Which events a call asks for, from where on, and whether they are still kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from api.errors import Gone
from postwerk.archive.outbox import START, Cursor, Page, events_after, is_forgotten, newest
from postwerk.contracts.events import Event, EventType
from postwerk.errors import InvalidRequest

LOOK_SECONDS = 0.5
"""After which a page is handed out as it is, however few events it has."""


class Forgotten(Gone):
    """Events behind this one are not kept any more: go on without it, with the oldest that are."""

    code = "events_forgotten"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events."""

    types: tuple[EventType, ...] | None = None
    owner: str | None = None
    """Those of this key's sends alone; None: everybody's."""
    bulk_id: str = ""
    with_repeated: bool = True

    async def after(self, connection: AsyncConnection, cursor: Cursor, limit: int) -> Page:
        return await events_after(
            connection,
            cursor,
            limit=limit,
            types=self.types,
            owner=self.owner,
            bulk_id=self.bulk_id,
            with_repeated=self.with_repeated,
        )


def cursor_of(text: str, pointer: str) -> Cursor:
    """Raises InvalidRequest, naming where it came from."""
    try:
        return Cursor.parse(text)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, pointer=pointer, code=error.code) from error


async def check_kept(connection: AsyncConnection, cursor: Cursor) -> Cursor:
    """Raises Forgotten."""
    if await is_forgotten(connection, cursor):
        raise Forgotten
    return cursor


async def collect(
    connection: AsyncConnection, wanted: Wanted, cursor: Cursor, limit: int
) -> tuple[Page, bool]:
    """Up to `limit` events behind the cursor, and whether there are more to look through."""
    ends = time.monotonic() + LOOK_SECONDS
    found: list[Event] = []
    last = await newest(connection)
    while len(found) < limit and cursor < last:
        page = await wanted.after(connection, cursor, limit - len(found))
        found += page.events
        if page.reached == cursor:
            return Page(found, last), False  # all that is left is about other sends
        cursor = page.reached
        if time.monotonic() > ends:
            break
    return Page(found, cursor), cursor < last


def document_of(page: Page, has_more: bool) -> dict[str, Any]:
    """As a list is answered; its `next` goes on behind it, also when nothing more is there yet."""
    return {"object": "list", "has_more": has_more, "next": str(page.reached), "data": page.events}


__all__ = ["START", "Forgotten", "Wanted", "check_kept", "collect", "cursor_of", "document_of"]
