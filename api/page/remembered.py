"""What takes a while to find out: found out by one at a time, for all who look, and never waited for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from api.starting import TEMPORAL_AWAY
from postwerk.errors import PostwerkError
from postwerk.observe import log

T = TypeVar("T")

PATIENCE_SECONDS = 0.2
OLD_SECONDS = 10.0


class Remembered(Generic[T]):
    """The latest answer of a slow question.

    What took a second is good for `share` seconds: it never takes more than that part of the time.
    """

    def __init__(self, fresh_seconds: float, share: float) -> None:
        self._fresh_seconds = fresh_seconds
        self._share = share
        self._known: T | None = None
        self._known_since = self._good_until = self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def get(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The latest answer; a new one is asked for in the background when it is not fresh.

        Only one that is old, or the very first, is waited for: not long, and by nobody who comes later. None
        while there is none.
        """
        now = time.monotonic()
        if self._asking is None and now >= self._good_until:
            self._asking, self._asked_at = asyncio.create_task(self._ask(ask)), now
        patience = self._asked_at + PATIENCE_SECONDS - now
        if self._asking is not None and patience > 0 and now - self._known_since > OLD_SECONDS:
            await asyncio.wait([self._asking], timeout=patience)
        return self._known

    @property
    def known(self) -> T | None:
        """The latest answer, however old."""
        return self._known

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> None:
        began = time.monotonic()
        try:
            self._known = await ask()
        except (SQLAlchemyError, OSError, PostwerkError, *TEMPORAL_AWAY) as error:
            log.part_unknown(error)
            self._known = None
        finally:
            self._asking = None
            ended = time.monotonic()
            self._known_since = ended
            self._good_until = ended + max(self._fresh_seconds, self._share * (ended - began))

    def forget(self) -> None:
        """What is known is old."""
        self._known_since = self._good_until = float("-inf")
