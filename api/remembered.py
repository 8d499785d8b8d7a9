"""What is asked often and costs something to find out: remembered in this process for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from temporalio.client import Client

from api.starting import TEMPORAL_AWAY
from postwerk.archive import queues
from postwerk.archive.engine import Archive
from workflows.client import workers_polling

WORKERS_FRESH_SECONDS = 5.0
WORKERS_PATIENCE_SECONDS = 1.0
QUEUES_FRESH_SECONDS = 3.0
QUEUES_PATIENCE_SECONDS = 2.0
QUEUES_SHARE = 20
"""A count that took a second is good for twenty: counting never takes more than a twentieth of the time."""


class WorkerMemory:
    """How many workers poll for SMTP-send activities."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._known: int | None = None
        self._good_until = float("-inf")

    async def polling(self) -> int | None:
        """At most five seconds old, after waiting for one at most; None when Temporal does not answer."""
        if time.monotonic() >= self._good_until:
            try:
                async with asyncio.timeout(WORKERS_PATIENCE_SECONDS):
                    self._known = await workers_polling(self._client, self._task_queue)
            except TEMPORAL_AWAY:
                self._known = None
            self._good_until = time.monotonic() + WORKERS_FRESH_SECONDS
        return self._known


class Queued(NamedTuple):
    """Open messages by relay and lane, and when they were counted; None while the first count is not done."""

    as_of: datetime | None = None
    lanes: Mapping[str, Counter[str]] | None = None


class QueueMemory:
    """Open messages by relay and lane: counted by one at a time, for all who ask."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known = Queued()
        self._good_until = float("-inf")
        self._counting: asyncio.Task[None] | None = None

    async def counts(self) -> Queued:
        """The latest count, after waiting two seconds at most. Raises what the archive raises."""
        if self._counting is None and time.monotonic() >= self._good_until:
            self._counting = asyncio.create_task(self._count())
        if (counting := self._counting) is not None:
            await asyncio.wait([counting], timeout=QUEUES_PATIENCE_SECONDS)
            if counting.done():
                counting.result()
        return self._known

    async def close(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    async def _count(self) -> None:
        began, as_of = time.monotonic(), datetime.now(UTC)
        try:
            async with self._archive.reading() as connection:
                self._known = Queued(as_of, await queues.open_by_relay(connection))
            took = time.monotonic() - began
            self._good_until = began + took + max(QUEUES_FRESH_SECONDS, QUEUES_SHARE * took)
        finally:
            self._counting = None
