"""Where the queue stands, for whoever scrapes: read every ten seconds at most, by one for all."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from api.remembered import WorkerMemory
from postwerk.archive.engine import Archive
from postwerk.archive.queue_figures import queue_figures
from postwerk.observe.metrics.queue import QueueFigures, Standing

FRESH_SECONDS = 10.0
PATIENCE_SECONDS = 3.0


class StandingMemory:
    """The latest standing. An archive that does not answer is part of it."""

    def __init__(self, archive: Archive, workers: WorkerMemory) -> None:
        self._archive = archive
        self._workers = workers
        self._known = Standing()
        self._good_until = float("-inf")
        self._asking = asyncio.Lock()

    async def latest(self) -> Standing:
        """At most ten seconds old, after waiting for four at most."""
        async with self._asking:
            if time.monotonic() >= self._good_until:
                figures, workers = await asyncio.gather(self._figures(), self._workers.polling())
                self._known = Standing(figures, workers)
                self._good_until = time.monotonic() + FRESH_SECONDS
        return self._known

    async def _figures(self) -> QueueFigures | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._archive.reading() as connection:
                return await queue_figures(connection, datetime.now(UTC))
        except (SQLAlchemyError, OSError):
            return None  # told as postwerk_archive_up 0
