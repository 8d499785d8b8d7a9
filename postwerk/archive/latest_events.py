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
    "sqlite": "event.xid = 0 AND event.id < :id",
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
    seq: int = 0,
    before: Cursor = END,
) -> Latest:
    """The last events before this one, of these types, of this send or of one message of it.

    Looks at LOOK events at most: of a send that is named, at its own.
    """
    dialect, look = connection.dialect.name, LOOK if types is not None or seq else limit
    known: dict[str, Any] = {"xid": before.xid, "id": before.id, "look": look}
    known |= {"bulk_id": bulk_id} if bulk_id else {}
    chosen: dict[str, Any] = {"types": orjson.dumps(sorted(types)).decode()} if types is not None else {}
    chosen |= {"seq": seq} if seq else {}
    page = _page(dialect, bool(bulk_id), types is not None, bool(seq))
    rows = await connection.execute(page, {**known, **chosen, "limit": limit})
    events = [event_of(row) for row in rows]
    if len(events) == limit:
        return Latest(events, Cursor.parse(events[-1].id))
    row = (await connection.execute(_end(dialect, bool(bulk_id)), known)).one_or_none()
    return Latest(events, None if row is None else Cursor(row.xid, row.id))


def _looked_at(dialect: str, of_one: bool) -> str:
    of_it = "AND event.bulk_id = :bulk_id" if of_one else ""
    return f"FROM event WHERE {_BEFORE[dialect]} {of_it} ORDER BY {_BACKWARDS[dialect]} LIMIT :look"


@cache
def _page(dialect: str, of_one: bool, of_types: bool, of_message: bool) -> TextClause:
    conditions = [f"event.type IN ({_AMONG[dialect]})"] if of_types else []
    conditions += ["event.seq = :seq"] if of_message else []
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return text(f"""
        SELECT {JOINED} FROM (
            SELECT * FROM (SELECT * {_looked_at(dialect, of_one)}) AS event
            {where} ORDER BY {_BACKWARDS[dialect]} LIMIT :limit
        ) AS event {JOINS} ORDER BY {_BACKWARDS[dialect]}
    """)


@cache
def _end(dialect: str, of_one: bool) -> TextClause:
    """The oldest event that was looked at, if as many as could be were looked at."""
    return text(f"""
        SELECT xid, id FROM (
            SELECT xid, id, count(*) OVER () AS n
            FROM (SELECT event.xid, event.id {_looked_at(dialect, of_one)}) AS event
        ) AS event WHERE n = :look ORDER BY {_FORWARDS[dialect]} LIMIT 1
    """)
