"""Operations under way that stop messages: obeyed before they have reached each message itself (P6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

from postwerk.archive.engine import Archive
from postwerk.archive.operations import stopped_seqs, stopping_operations
from postwerk.contracts.queue import QueueFilter

FRESH_SECONDS = 1.0


class StoppingOperations:
    """The running ones, at most a second old; none as a rule, then nothing is asked of the messages."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known: list[tuple[str, QueueFilter, datetime]] = []
        self._seen = float("-inf")
        self._asking = asyncio.Lock()

    async def look(self) -> frozenset[str]:
        """Their ids: a page of messages that was read under others is to be read again."""
        if not self._is_fresh():
            async with self._asking:  # one asks for all who wait here
                if not self._is_fresh():
                    async with self._archive.reading() as connection:
                        self._known = await stopping_operations(connection)
                    self._seen = time.monotonic()
        return frozenset(one for one, _, _ in self._known)

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._seen <= FRESH_SECONDS

    async def stopped(self, bulk_id: str, seqs: Sequence[int]) -> set[int]:
        """Which of these messages must not be sent."""
        found: set[int] = set()
        if self._known:
            async with self._archive.reading() as connection:
                for _, wanted, began in self._known:
                    found |= await stopped_seqs(connection, wanted, began, bulk_id, seqs)
        return found
