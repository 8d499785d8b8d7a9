"""How the queue's figures were in the last quarter of an hour, as each process saw them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from postwerk.archive.engine import Archive
from postwerk.archive.queue_totals import QueueTotals, queue_totals
from postwerk.contracts.states import MessageState
from postwerk.observe import log

EVERY_SECONDS = 10.0
KEPT = 90


class Sample(NamedTuple):
    """The queue at one moment."""

    total: int
    deferred: int
    oldest_seconds: int


class FigureMemory:
    """Samples of the queue; the archive keeps none. One statement each, along the counters."""

    def __init__(self, archive: Archive, now: Callable[[], datetime]) -> None:
        self._archive = archive
        self._now = now
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._watching: asyncio.Task[None] | None = None

    @property
    def samples(self) -> Sequence[Sample]:
        """The oldest first."""
        return list(self._samples)

    def start(self) -> None:
        """Begin to look, unless that is done already."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="page-figures")

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        was_away = False
        while True:
            try:
                async with self._archive.reading() as connection:
                    self._samples.append(sample_of(await queue_totals(connection), self._now()))
                was_away = False
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                if not was_away:  # once is enough: what is away is asked for again every ten seconds
                    log.figures_unknown(error)
                was_away = True
            await asyncio.sleep(EVERY_SECONDS)


def sample_of(figures: QueueTotals, now: datetime) -> Sample:
    age = (now - figures.oldest_at).total_seconds() if figures.oldest_at else 0
    return Sample(figures.total, figures.states[MessageState.DEFERRED], max(0, int(age)))
