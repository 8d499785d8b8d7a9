"""The survey of a large queue: counted in the background, so that nobody waits for a million messages."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from api.errors import Unavailable
from api.remembered import QUEUES_FRESH_SECONDS, QUEUES_SHARE
from postwerk.archive.engine import Archive
from postwerk.archive.queue_counts import rows_to_read, take_survey
from postwerk.archive.queue_filter import SendInQuestion, sends_in_question
from postwerk.contracts.queue import QueueFilter
from postwerk.observe import log
from postwerk.rules.queue_summary import Survey

SMALL = 20_000
"""So many messages are counted while the caller waits."""
UNCHANGED_SECONDS = 300.0
"""So long a survey is good while the counters stand still."""
FIRST_PATIENCE_SECONDS = 30.0


class SurveyMemory:
    """The latest survey. To count takes a twentieth of the time at most, none while the queue is small."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known: Survey | None = None
        self._counted: list[SendInQuestion] = []
        self._counted_at = 0.0
        self._there = asyncio.Event()
        self._asked = asyncio.Event()
        self.failures = 0
        """How often it could not be counted."""
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the queue; asked for the survey, it begins by itself."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="queue-survey")

    def at_hand(self) -> Survey | None:
        """The survey without waiting for it; the first one is begun."""
        self.start()
        if self._known is None:
            self._asked.set()
        return self._known

    async def latest(self) -> Survey:
        """The survey; only the very first is waited for. Raises Unavailable."""
        self.start()
        if self._known is None:
            self._asked.set()
            try:
                async with asyncio.timeout(FIRST_PATIENCE_SECONDS):
                    await self._there.wait()
            except TimeoutError as error:
                raise Unavailable("The queue is being counted for the first time; try again soon.") from error
        assert self._known is not None
        return self._known

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._look()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                self.failures += 1
                log.queue_not_counted(error)
            await self._rest(max(QUEUES_FRESH_SECONDS, QUEUES_SHARE * (time.monotonic() - began)))

    async def _rest(self, seconds: float) -> None:
        """Until it is time again, or somebody waits for the very first survey."""
        self._asked.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), seconds)

    async def _look(self) -> None:
        as_of = datetime.now(UTC)
        async with self._archive.reading() as connection:
            sends = await sends_in_question(connection, QueueFilter(), as_of)
            if self._is_known(sends):
                return
            self._known = await take_survey(connection, sends, as_of)
        self._counted, self._counted_at = sends, time.monotonic()
        self._there.set()

    def _is_known(self, sends: list[SendInQuestion]) -> bool:
        """Nobody needs a survey of a small queue, nor a second one of the same."""
        if rows_to_read(sends) <= SMALL // 2:
            return True
        return sends == self._counted and time.monotonic() - self._counted_at < UNCHANGED_SECONDS
