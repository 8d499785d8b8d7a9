"""Tells whoever looks that the ledger has changed; while nobody looks it costs next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class News:
    """One event for each listener: many changes between two looks are one."""

    def __init__(self) -> None:
        self.closed = False
        """The sandbox is stopping, and there will be no more."""
        self._listeners: set[asyncio.Event] = set()

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """The event that is set when something has changed; the listener clears it."""
        heard = asyncio.Event()
        self._listeners.add(heard)
        try:
            yield heard
        finally:
            self._listeners.discard(heard)

    def tell(self) -> None:
        for heard in self._listeners:
            heard.set()

    def close(self) -> None:
        self.closed = True
        self.tell()
