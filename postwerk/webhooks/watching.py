"""Waiting for events: one look at the archive for everybody in this process who waits."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import NamedTuple

from postwerk.archive.engine import Archive
from postwerk.archive.outbox import START, Cursor, newest
from postwerk.archive.webhooks import last_change

SOON, LATER = 0.25, 1.0
"""Seconds between two looks: while something happens, and when nothing has for a while."""
_QUIET_SECONDS = 10.0


class Seen(NamedTuple):
    """What a look at the archive has shown."""

    newest: Cursor
    """The last event."""
    changed_at: datetime
    """When any webhook was changed last."""


class OutboxWatch:
    """However many wait, the archive is asked four times a second at most, and once when it is quiet."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._looking: asyncio.Task[Seen] | None = None
        self._last = START
        self._news_at = time.monotonic()

    async def wait(self, position: Cursor, changed_at: datetime, seconds: float) -> None:
        """Until there is an event behind `position`, or a webhook was changed since, or the time is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            look = self._look()
            await asyncio.wait({look}, timeout=left)
            if look.done() and (look.result().newest > position or look.result().changed_at > changed_at):
                return

    def _look(self) -> asyncio.Task[Seen]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._next_look())
        return self._looking

    async def _next_look(self) -> Seen:
        quiet = time.monotonic() - self._news_at > _QUIET_SECONDS
        await asyncio.sleep(LATER if quiet else SOON)
        async with self._archive.reading() as connection:
            seen = Seen(await newest(connection), await last_change(connection))
        if seen.newest != self._last:
            self._last, self._news_at = seen.newest, time.monotonic()
        return seen

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
