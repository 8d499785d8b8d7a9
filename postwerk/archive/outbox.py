"""Reading the outbox: what happened since somebody looked last, in an order in which nothing is passed over.

In SQLite one writes at a time, so ids are in the order of commits. In PostgreSQL a smaller id may be
committed later: there events are in the order of their transactions, and only those that are older than every
transaction still open are read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.event_cursor import START, Cursor
from postwerk.archive.event_rows import JOINED, JOINS, event_of
from postwerk.contracts.events import Event

__all__ = ["START", "Cursor", "Page", "events_after", "is_forgotten", "newest"]

LOOK = 5000
"""Events that one page looks through at most, also when it is to hold only a few rare ones."""

_SETTLED = "event.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_AFTER = {
    "sqlite": "event.xid = 0 AND event.id > :id",
    "postgresql": f"(event.xid, event.id) > (:xid, :id) AND {_SETTLED}",
}
_UP_TO = {"sqlite": "event.id <= :last_id", "postgresql": "(event.xid, event.id) <= (:last_xid, :last_id)"}
_NOT_AFTER = {"sqlite": "event.id <= :id", "postgresql": "(event.xid, event.id) <= (:xid, :id)"}
_ORDER = {"sqlite": "event.id", "postgresql": "event.xid, event.id"}
_BACKWARDS = {"sqlite": "event.id DESC", "postgresql": "event.xid DESC, event.id DESC"}
_AMONG = {
    "sqlite": "SELECT value FROM json_each(:types)",
    "postgresql": "SELECT jsonb_array_elements_text(CAST(:types AS jsonb))",
}
_OF_ONE = "event.bulk_id = :bulk_id"
_OWN = "EXISTS (SELECT 1 FROM bulk_send WHERE bulk_send.id = event.bulk_id AND bulk_send.owner = :owner)"
_NEWEST = {
    "sqlite": text("SELECT xid, id FROM event ORDER BY id DESC LIMIT 1"),
    "postgresql": text(
        f"SELECT xid, id FROM event WHERE {_SETTLED} ORDER BY event.xid DESC, event.id DESC LIMIT 1"
    ),
}
_ANY_UP_TO = {
    dialect: text(f"SELECT 1 FROM event WHERE {condition} ORDER BY {_ORDER[dialect]} LIMIT 1")
    for dialect, condition in _NOT_AFTER.items()
}


class Page(NamedTuple):
    """Some events, oldest first, and up to where was looked for them."""

    events: list[Event]
    reached: Cursor


async def newest(connection: AsyncConnection) -> Cursor:
    """The last event that can be read; START when there was none yet."""
    row = (await connection.execute(_NEWEST[connection.dialect.name])).one_or_none()
    return START if row is None else Cursor(row.xid, row.id)


async def is_forgotten(connection: AsyncConnection, cursor: Cursor) -> bool:
    """Whether events behind this cursor may have been erased already: then nobody can go on from it.

    Erasing leaves the last event that is old enough for it, so a reader who has seen that has missed nothing.
    """
    if cursor == START:
        return False
    found = await connection.execute(_ANY_UP_TO[connection.dialect.name], cursor._asdict())
    return found.first() is None


async def events_after(
    connection: AsyncConnection,
    cursor: Cursor,
    *,
    limit: int,
    types: Collection[str] | None = None,
    owner: str | None = None,
    bulk_id: str = "",
    with_repeated: bool = True,
) -> Page:
    """The next events behind `cursor`, at most `limit`, of these types, of this owner's sends, of this send.

    `with_repeated` False leaves out deferrals for the same reason as before. Looks at LOOK events at most:
    a page without events is the last one only if `reached` is where it began.
    """
    dialect = connection.dialect.name
    conditions = _conditions(dialect, types, owner, bulk_id, with_repeated)
    known = {
        **cursor._asdict(),
        "limit": limit,
        "look": LOOK if conditions else limit,
        "bulk_id": bulk_id,
        "owner": owner,
        "types": orjson.dumps(list(types or ())).decode(),
    }
    end = await _look_ahead(connection, known)
    if end is None:
        return Page([], cursor)
    known |= {"last_xid": end.xid, "last_id": end.id}
    events = [event_of(row) for row in await connection.execute(_page(dialect, conditions), known)]
    return Page(events, Cursor.parse(events[-1].id) if len(events) == limit else end)


async def _look_ahead(connection: AsyncConnection, known: Mapping[str, Any]) -> Cursor | None:
    """Up to where the next events reach of which a page is chosen; None when there are none."""
    statement = _look(connection.dialect.name, bool(known["bulk_id"]))
    row = (await connection.execute(statement, known)).one_or_none()
    return None if row is None else Cursor(row.xid, row.id)


def _conditions(
    dialect: str, types: Collection[str] | None, owner: str | None, bulk_id: str, with_repeated: bool
) -> tuple[str, ...]:
    chosen = {
        _OF_ONE: bool(bulk_id),
        f"event.type IN ({_AMONG[dialect]})": types is not None,
        _OWN: owner is not None,
        "NOT event.repeated": not with_repeated,
    }
    return tuple(condition for condition, is_chosen in chosen.items() if is_chosen)


@cache
def _look(dialect: str, of_one: bool) -> TextClause:
    return text(f"""
        SELECT xid, id FROM (
            SELECT event.xid, event.id FROM event WHERE {_AFTER[dialect]} {f"AND {_OF_ONE}" if of_one else ""}
            ORDER BY {_ORDER[dialect]} LIMIT :look
        ) AS event ORDER BY {_BACKWARDS[dialect]} LIMIT 1
    """)


@cache
def _page(dialect: str, conditions: tuple[str, ...]) -> TextClause:
    """The events are chosen first: what they are about is then found by keys, in tables of any size."""
    return text(f"""
        SELECT {JOINED} FROM (
            SELECT * FROM event WHERE {" AND ".join([_AFTER[dialect], _UP_TO[dialect], *conditions])}
            ORDER BY {_ORDER[dialect]} LIMIT :limit
        ) AS event {JOINS} ORDER BY {_ORDER[dialect]}
    """)
