"""The outbox from its end: what happened last, for people who look."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.event_cursor import Cursor
from postwerk.archive.event_rows import JOINED, JOINS, event_of
from postwerk.contracts.events import Event

LOOK = 5000
"""Events that one page looks through at most."""
END = Cursor(2**63 - 1, 2**63 - 1)
"""Behind everything."""
_BEFORE = {
    "sqlite": "event.id < :id",
    "postgresql": "(event.xid, event.id) < (:xid, :id)"
    " AND event.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
}
_BACKWARDS = {"sqlite": "event.id DESC", "postgresql": "event.xid DESC, event.id DESC"}
_FORWARDS = {"sqlite": "event.id", "postgresql": "event.xid, event.id"}
_AMONG = {
    "sqlite": "SELECT value FROM json_each(:types)",
    "postgresql": "SELECT jsonb_array_elements_text(CAST(:types AS jsonb))",
}


class Latest(NamedTuple):
    """The newest first; `reached`: where to go on towards older ones, None when there are none."""

    events: list[Event]
    reached: Cursor | None


async def latest_events(
    connection: AsyncConnection,
    *,
    limit: int,
    types: Collection[str] | None = None,
    bulk_id: str = "",
    before: Cursor = END,
) -> Latest:
    """The last events before this one, of these types, of this send. Looks at LOOK events at most."""
    dialect = connection.dialect.name
    chosen = types is not None or bool(bulk_id)
    look = LOOK if chosen else limit
    known: dict[str, Any] = {"xid": before.xid, "id": before.id, "look": look, "limit": limit}
    known |= {"bulk_id": bulk_id} if bulk_id else {}
    known |= {"types": orjson.dumps(sorted(types)).decode()} if types is not None else {}
    rows = await connection.execute(_page(dialect, types is not None, bool(bulk_id)), known)
    events = [event_of(row) for row in rows]
    if len(events) == limit:
        return Latest(events, Cursor.parse(events[-1].id))
    end = {"xid": before.xid, "id": before.id, "look": look}
    row = (await connection.execute(_end(dialect), end)).one_or_none()
    return Latest(events, None if row is None else Cursor(row.xid, row.id))


@cache
def _page(dialect: str, of_types: bool, of_one: bool) -> TextClause:
    conditions = [f"event.type IN ({_AMONG[dialect]})"] if of_types else []
    conditions += ["event.bulk_id = :bulk_id"] if of_one else []
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return text(f"""
        SELECT {JOINED} FROM (
            SELECT * FROM (
                SELECT * FROM event WHERE {_BEFORE[dialect]} ORDER BY {_BACKWARDS[dialect]} LIMIT :look
            ) AS event {where} ORDER BY {_BACKWARDS[dialect]} LIMIT :limit
        ) AS event {JOINS} ORDER BY {_BACKWARDS[dialect]}
    """)


@cache
def _end(dialect: str) -> TextClause:
    """The oldest event that was looked at, if as many as could be were looked at."""
    return text(f"""
        SELECT xid, id FROM (
            SELECT xid, id, count(*) OVER () AS n FROM (
                SELECT event.xid, event.id FROM event WHERE {_BEFORE[dialect]}
                ORDER BY {_BACKWARDS[dialect]} LIMIT :look
            ) AS event
        ) AS event WHERE n = :look ORDER BY {_FORWARDS[dialect]} LIMIT 1
    """)
