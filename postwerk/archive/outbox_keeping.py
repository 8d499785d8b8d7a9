"""Erasing events whose time is over, oldest first, in small transactions."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.archive.event_cursor import Cursor

KEPT_FOR_WEBHOOKS = timedelta(days=30)
"""So much longer an event stays that a webhook has not got yet, unless it stopped longer ago."""

_OLDEST = {
    "sqlite": text("SELECT xid, id, at FROM event ORDER BY id LIMIT :limit"),
    "postgresql": text("SELECT xid, id, at FROM event ORDER BY xid, id LIMIT :limit"),
}
_ERASE = {
    "sqlite": text("DELETE FROM event WHERE id < :id"),
    "postgresql": text("DELETE FROM event WHERE (xid, id) < (:xid, :id)"),
}
_SLOWEST = text("""
    SELECT cursor_xid, cursor_id FROM webhook WHERE state = 'enabled' OR changed_at > :stopped_since
    ORDER BY cursor_xid, cursor_id LIMIT 1
""")


async def erase_events(connection: AsyncConnection, now: datetime, kept: timedelta, limit: int) -> int:
    """Erase the oldest of those older than `kept`, fewer than `limit`; answers how many.

    The last of them stays: by it a reader who has seen it knows that it has missed nothing.
    """
    dialect = connection.dialect.name
    old, given_up = (to_microseconds(now - kept - longer) for longer in (timedelta(0), KEPT_FOR_WEBHOOKS))
    slowest = await _slowest_webhook(connection, now - KEPT_FOR_WEBHOOKS)
    rows = (await connection.execute(_OLDEST[dialect], {"limit": limit})).all()
    over = list(
        takewhile(
            lambda row: row.at < (old if slowest is None or (row.xid, row.id) <= slowest else given_up), rows
        )
    )
    if len(over) < 2:
        return 0
    await connection.execute(_ERASE[dialect], Cursor(over[-1].xid, over[-1].id)._asdict())
    return len(over) - 1


async def _slowest_webhook(connection: AsyncConnection, stopped_since: datetime) -> Cursor | None:
    """Up to where every webhook has come that is enabled or stopped since then; None when there is none."""
    known = {"stopped_since": to_microseconds(stopped_since)}
    row = (await connection.execute(_SLOWEST, known)).one_or_none()
    return None if row is None else Cursor(row.cursor_xid, row.cursor_id)
