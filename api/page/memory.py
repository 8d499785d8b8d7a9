"""What the page knows in this process beside the archive: for everybody who looks, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from api.page.failure_memory import FailureMemory
from api.page.figure_memory import FigureMemory
from api.page.live import LiveBoard
from api.page.remembered import Remembered
from api.page.tally_memory import TallyMemory
from postwerk.archive.engine import Archive

if TYPE_CHECKING:
    from api.page.connected import Connected
    from api.queue_counting import Summary

LANES_FRESH_SECONDS = 2.0
CONNECTED_FRESH_SECONDS = 3.0


class PageMemory:
    """Built with the other parts; nothing is read before somebody looks."""

    def __init__(self, archive: Archive, now: Callable[[], datetime]) -> None:
        self.tallies = TallyMemory(archive)
        self.figures = FigureMemory(archive, now)
        self.failures = FailureMemory(archive)
        self.lanes: Remembered[Summary] = Remembered(LANES_FRESH_SECONDS, share=50)
        """The queue by provider."""
        self.connected: Remembered[Connected] = Remembered(CONNECTED_FRESH_SECONDS, share=2)
        """What is behind this process."""
        self.board = LiveBoard()

    async def close(self) -> None:
        await self.board.close()
        await self.lanes.close()
        await self.connected.close()
        await self.figures.close()
