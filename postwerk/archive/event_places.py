"""Where among the events a moment is: found in some thirty looks, as they are kept in order."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.archive.event_cursor import START, Cursor

MARGIN = timedelta(seconds=10)
"""Transactions run beside each other, so what happened later may stand a little earlier."""
_LAST = (1 << 63) - 1
_KEY = {"sqlite": "id", "postgresql": "xid"}
_ORDER = {"sqlite": "id", "postgresql": "xid, id"}


async def place_before(connection: AsyncConnection, moment: datetime) -> Cursor:
    """Behind it stands everything that happened at that moment or later, and perhaps some seconds before."""
    dialect = connection.dialect.name
    key, order = _KEY[dialect], _ORDER[dialect]
    ends = (await connection.execute(text(f"SELECT min({key}), max({key}) FROM event"))).one()
    if ends[0] is None:
        return START
    wanted = to_microseconds(moment - MARGIN)
    look = text(f"SELECT {key}, at FROM event WHERE {key} >= :at ORDER BY {order} LIMIT 1")
    low, high = int(ends[0]), int(ends[1]) + 1
    while low < high:
        middle = (low + high) // 2
        found = (await connection.execute(look, {"at": middle})).one_or_none()
        if found is None or found[1] >= wanted:
            high = middle
        else:
            low = int(found[0]) + 1
    return Cursor(0, low - 1) if key == "id" else Cursor(low - 1, _LAST)
