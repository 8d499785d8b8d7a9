"""The API keys, as this process knows them: looked up by prefix, remembered for a second.

A key that is revoked here is refused from that moment on; one that is revoked elsewhere after a second.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from postwerk.archive.api_keys import (
    USE_NOTED_EVERY,
    ApiKey,
    KeyOnFile,
    is_any_key,
    key_on_file,
    note_use,
)
from postwerk.archive.engine import Archive
from postwerk.observe import log
from postwerk.rules.key_text import digest_of, prefix_of

REMEMBERED_SECONDS = 1.0
_MOST_REMEMBERED = 4096
_NO_DIGEST = digest_of("")
"""Compared with when there is no such key, so that this takes as long as when there is one."""


class KeyRing:
    """Which keys there are. Reads the archive at most once a second for each key."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._found: dict[str, tuple[float, KeyOnFile | None]] = {}
        self._any_until = 0.0
        self._any = False
        self._changes = 0
        """Made here; what was looked up before one of them is not remembered after it."""
        self._noted: dict[str, datetime] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def key_for(self, text: str, now: datetime) -> ApiKey | None:
        """The key with this text, if it may be used now. Unknown, wrong, expired, revoked: all None."""
        prefix = prefix_of(text)
        if prefix is None:
            return None
        on_file = await self._on_file(prefix)
        wanted = on_file.digest if on_file else _NO_DIGEST
        fits = hmac.compare_digest(digest_of(text), wanted)
        if on_file is None or not fits or on_file.key.state(now) != "active":
            return None
        self._note_use(on_file.key, now)
        return on_file.key

    async def is_any(self) -> bool:
        """Whether a key was ever made; none of them is ever erased, so a yes holds."""
        if not self._any and time.monotonic() >= self._any_until:
            async with self._archive.reading() as connection:
                self._any = await is_any_key(connection)
            self._any_until = time.monotonic() + REMEMBERED_SECONDS
        return self._any

    @property
    def changes(self) -> int:
        """How often something was changed here: what was found before is to be looked up again."""
        return self._changes

    def forget(self) -> None:
        """Something was changed here: the next call looks anew."""
        self._changes += 1
        self._found.clear()
        self._any_until = 0.0

    async def _on_file(self, prefix: str) -> KeyOnFile | None:
        known = self._found.get(prefix)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        self._found.pop(prefix, None)
        until, changes = time.monotonic() + REMEMBERED_SECONDS, self._changes  # as of before the look
        async with self._archive.reading() as connection:
            found = await key_on_file(connection, prefix)
        if changes == self._changes:
            self._remember(prefix, until, found)
        return found

    def _remember(self, prefix: str, until: float, found: KeyOnFile | None) -> None:
        if len(self._found) >= _MOST_REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found[prefix] = until, found

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        """In the background: no call waits for it."""
        last = max(filter(None, (self._noted.get(key.id), key.last_used_at)), default=None)
        if last is not None and now - last < USE_NOTED_EVERY:
            return
        self._noted[key.id] = now
        noting = asyncio.create_task(self._write_use(key.id, now))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _write_use(self, key_id: str, now: datetime) -> None:
        try:
            async with self._archive.writing() as connection:
                await note_use(connection, key_id, now)
        except (SQLAlchemyError, OSError) as error:
            log.key_use_not_noted(key_id, error)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._noting, return_exceptions=True)
