"""What takes a while to find out: found out by one at a time, for all who look, and never waited for long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from api.starting import TEMPORAL_AWAY
from postwerk.errors import PostwerkError

log = logging.getLogger("postwerk.page")
T = TypeVar("T")

SHARE = 50
"""What took a second is good for fifty: nothing takes more than a fiftieth of the time."""


class Remembered(Generic[T]):
    """The latest answer of a slow question."""

    def __init__(self, fresh_seconds: float) -> None:
        self._fresh_seconds = fresh_seconds
        self._known: T | None = None
        self._good_until = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def get(self, ask: Callable[[], Awaitable[T]], patience: float) -> T | None:
        """The answer, not older than it may be if that is known within `patience` seconds.

        Else the former one; None while there is none.
        """
        if self._asking is None and time.monotonic() >= self._good_until:
            self._asking = asyncio.create_task(self._ask(ask))
        if self._asking is not None:
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
            log.warning("a part of the page is not known: %s", type(error).__name__)
            self._known = None
        finally:
            self._asking = None
            ended = time.monotonic()
            self._good_until = ended + max(self._fresh_seconds, SHARE * (ended - began))
