"""Streams of events (server-sent events): each reader at its own speed, and a page of them in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi.sse import EventSourceResponse, format_sse_event
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from api.call_limits import UploadSlots
from api.errors import TooManyAtOnce
from api.event_reading import Wanted
from postwerk.archive.engine import Archive
from postwerk.archive.outbox import START, Cursor, Page, newest
from postwerk.contracts.events import Event
from postwerk.observe import log

PAGE = 200
"""Events that are read, and written, at once."""
HEARTBEAT_SECONDS = 15.0
IDLE_SECONDS = 0.5
"""So often a stream that has shown everything looks for more."""
FRESH_SECONDS = 0.25
"""So long what the newest event is holds for all of them."""
READERS = 2
"""Connections to the archive that all streams together use at the same time; calls have the others."""
GRACE_SECONDS = 2.0
"""For whoever reads slowly to get the end of the stream when this process stops."""


class TooManyStreams(TooManyAtOnce):
    """This key has as many streams of events open as it may; close one."""

    code = "too_many_streams"


class Streams:
    """All streams of this process."""

    def __init__(self, archive: Archive, at_once: int, seconds: float) -> None:
        """`at_once`: of each caller. `seconds`: after which a stream that has shown everything ends."""
        self.seconds = seconds
        self._archive = archive
        self._slots = UploadSlots(at_once)
        self._stopping = asyncio.Event()
        self._reading = asyncio.Semaphore(READERS)
        self._newest = START
        self.opened = 0
        """So many since the process began."""
        self._asked = float("-inf")

    def stop(self) -> None:
        """End them all, and open no more."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def open(
        self, who: str, wanted: Wanted, cursor: Cursor, is_welcome: Callable[[], Awaitable[bool]]
    ) -> EventStream:
        """Events behind the cursor, and all that come. Raises TooManyStreams.

        `is_welcome` is asked again and again: a stream does not outlive its key.
        """
        if not self._slots.enter(who):
            raise TooManyStreams
        self.opened += 1
        return EventStream(self, _Follower(self, wanted, cursor, is_welcome), lambda: self._slots.leave(who))

    async def page(self, wanted: Wanted, cursor: Cursor) -> Page:
        async with self._reading, self._archive.reading() as connection:
            return await wanted.after(connection, cursor, PAGE)

    async def wait_for_more(self, cursor: Cursor) -> None:
        """Until there is an event behind the cursor, or for a moment."""
        if cursor < await self._newest_event():
            return
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _newest_event(self) -> Cursor:
        async with self._reading:
            if time.monotonic() >= self._asked + FRESH_SECONDS:
                async with self._archive.reading() as connection:
                    self._newest = await newest(connection)
                self._asked = time.monotonic()
        return self._newest

    async def carry(self, streaming: asyncio.Task[None]) -> None:
        """To its end; soon after the stop signal, even if nobody reads it."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({streaming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({streaming}, timeout=GRACE_SECONDS)
        finally:
            stopping.cancel()
            if not streaming.done():
                streaming.cancel()
            await asyncio.wait({streaming})
        if not streaming.cancelled():
            streaming.result()


class _Follower:
    """What one reader gets."""

    def __init__(
        self, streams: Streams, wanted: Wanted, cursor: Cursor, is_welcome: Callable[[], Awaitable[bool]]
    ) -> None:
        self._streams = streams
        self._wanted = wanted
        self._cursor = cursor
        self._is_welcome = is_welcome

    async def chunks(self) -> AsyncIterator[bytes]:
        ends = time.monotonic() + self._streams.seconds
        yield self._here("from here")
        spoken = asked = time.monotonic()
        try:
            while not self._streams.is_stopping:
                page = await self._streams.page(self._wanted, self._cursor)
                is_all = page.reached == self._cursor
                self._cursor = page.reached
                if page.events:
                    yield b"".join([_written(event) for event in page.events])
                    spoken = time.monotonic()
                if is_all and time.monotonic() >= ends:
                    return
                if time.monotonic() >= asked + HEARTBEAT_SECONDS:  # also while one event follows another
                    if not await self._is_welcome():
                        return
                    asked = time.monotonic()
                if time.monotonic() >= spoken + HEARTBEAT_SECONDS:
                    yield self._here("still there")
                    spoken = time.monotonic()
                if is_all:
                    await self._streams.wait_for_more(self._cursor)
        except (SQLAlchemyError, OSError) as error:
            log.stream_ended(error)

    def _here(self, words: str) -> bytes:
        """A comment that also says where to go on: everything up to here was looked through."""
        return format_sse_event(comment=words, id=str(self._cursor))


def _written(event: Event) -> bytes:
    return format_sse_event(data_str=event.as_json().decode(), event=event.type.value, id=event.id)


class EventStream(EventSourceResponse):
    """The answer that carries a stream; gives its slot back however it ends."""

    def __init__(self, streams: Streams, follower: _Follower, leave: Callable[[], None]) -> None:
        super().__init__(follower.chunks(), headers={"X-Accel-Buffering": "no"})
        self._streams = streams
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._streams.carry(asyncio.create_task(super().__call__(scope, receive, send)))
        finally:
            self._leave()
