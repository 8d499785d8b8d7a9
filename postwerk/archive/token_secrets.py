"""The secrets of tokens: made when first asked for, shared by all processes through the archive."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.rules.tokens import Secret, Tokens

_ALL = text("SELECT id, secret FROM token_secret ORDER BY created_at DESC, id DESC")
_FIRST = text("""
    INSERT INTO token_secret (id, secret, created_at) VALUES (0, :secret, :now) ON CONFLICT DO NOTHING
""")


async def load_tokens(archive: Archive, now: datetime) -> Tokens:
    """The newest secret first. The first process that asks makes the first one."""
    async with archive.reading() as connection:
        found = await _all(connection)
    if not found:
        async with archive.writing() as connection:
            values = {"secret": secrets.token_hex(32), "now": to_microseconds(now)}
            await connection.execute(_FIRST, values)
            found = await _all(connection)
    return Tokens(found)


async def _all(connection: AsyncConnection) -> list[Secret]:
    rows = await connection.execute(_ALL)
    return [Secret(number, bytes.fromhex(secret)) for number, secret in rows]
