"""The largest message that each relay takes, as a worker was told by its EHLO (RFC 1870)."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_NOTE = text("""
    INSERT INTO lane (relay, name, failures, reason, size_limit) VALUES (:relay, '', 0, '', :octets)
    ON CONFLICT (relay, name) DO UPDATE SET size_limit = excluded.size_limit
""")
_LIMIT = text("SELECT size_limit FROM lane WHERE relay = :relay AND name = ''")


async def note_size_limit(connection: AsyncConnection, relay: str, octets: int | None) -> None:
    """None: it names no limit."""
    await connection.execute(_NOTE, {"relay": relay, "octets": octets})


async def size_limit(connection: AsyncConnection, relay: str) -> int | None:
    """Octets; None when it names no limit, or no worker has been there yet."""
    found = (await connection.execute(_LIMIT, {"relay": relay})).scalar_one_or_none()
    return None if found is None else int(found)
