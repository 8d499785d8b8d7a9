"""The sessions, as this process knows them: looked up by the digest of their cookie, remembered for a second.

A session whose key is revoked here ends at that moment; one whose key is revoked elsewhere after a second.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from api.key_ring import REMEMBERED_SECONDS, KeyRing
from postwerk.archive import page_sessions
from postwerk.archive.api_keys import ApiKey
from postwerk.archive.engine import Archive
from postwerk.archive.page_sessions import PageSession, session_digest

LASTS = timedelta(hours=12)
_MOST_REMEMBERED = 1024


class Sessions:
    """Who has given a key to the page. Reads the archive at most once a second for each cookie."""

    def __init__(self, archive: Archive, keys: KeyRing) -> None:
        self._archive = archive
        self._keys = keys
        self._found: dict[str, tuple[float, int, PageSession | None]] = {}
        """By digest: good until, the key ring's changes then, and what was found."""

    async def begin(self, cookie: str, key: ApiKey, now: datetime) -> None:
        """From now on this cookie stands for the key."""
        async with self._archive.writing() as connection:
            await page_sessions.begin_session(connection, cookie, key, now=now, until=now + LASTS)
        self._found.pop(session_digest(cookie), None)

    async def key_of(self, cookie: str, now: datetime) -> ApiKey | None:
        """The key behind a cookie, if it may be used now; None also for a cookie without a session."""
        session = await self._session(session_digest(cookie))
        return session.key if session is not None and session.holds(now) else None

    async def end(self, cookie: str) -> None:
        digest = session_digest(cookie)
        async with self._archive.writing() as connection:
            await page_sessions.end_session(connection, digest)
        self._found.pop(digest, None)

    async def _session(self, digest: str) -> PageSession | None:
        good_until, changes, found = self._found.get(digest, (0.0, 0, None))
        if time.monotonic() < good_until and changes == self._keys.changes:
            return found
        good_until, changes = (
            time.monotonic() + REMEMBERED_SECONDS,
            self._keys.changes,
        )  # as of before the look
        async with self._archive.reading() as connection:
            found = await page_sessions.page_session(connection, digest)
        if len(self._found) >= _MOST_REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found[digest] = good_until, changes, found
        return found
