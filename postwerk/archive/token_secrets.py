"""The secrets of tokens: made when first asked for, shared by all processes through the archive."""

from __future__ import annotations

import secrets
import time
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.rules.tokens import NO_TOKENS, Secret, Tokens

FRESH_SECONDS = 60.0

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


class KnownTokens:
    """The secrets as they were a minute ago at most; what is known is kept while the archive is away."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known = NO_TOKENS
        self._read_at = float("-inf")

    async def get(self, now: datetime) -> Tokens:
        """Raises what the archive raises, unless something is known."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            try:
                self._known = await load_tokens(self._archive, now)
            except (SQLAlchemyError, OSError):
                if self._known is NO_TOKENS:
                    raise
            self._read_at = time.monotonic()
        return self._known


async def _all(connection: AsyncConnection) -> list[Secret]:
    rows = await connection.execute(_ALL)
    return [Secret(number, bytes.fromhex(secret)) for number, secret in rows]
