"""aiosmtplib's wire protocol, with strict replies: each answer belongs to a command, or it counts as a fault.

aiosmtplib itself takes whatever stands in its buffer as the answer to the next command, reads codes with
int(), and writes a whole message at once without looking whether anyone reads it.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from typing import cast

from aiosmtplib import SMTPReadTimeoutError, SMTPResponse, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol

from postwerk.smtp.reply import NotSmtp, take_reply

CHUNK_BYTES = 65536
KERNEL_BUFFER_BYTES = 131072


class StrictProtocol(SMTPProtocol):
    """Counts the replies that the server owes us; what comes beyond that is kept apart in `unasked`."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.unasked: SMTPResponse | None = None
        """A reply that no command waits for: a 421 that says goodbye, or nonsense."""
        self.raw_transport: asyncio.WriteTransport | None = None
        self._unread = bytearray()
        self._owed = 1  # the banner
        self._answers: deque[SMTPResponse] = deque()
        self._fault: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the transport tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.raw_transport = cast(asyncio.WriteTransport, transport)
        # Keep the kernel from swallowing megabytes that nobody has read: else the dot would be "written" long
        # before the server has the message, and more would be ambiguous than needs be.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        try:
            while self._unread and (reply := take_reply(self._unread)) is not None:
                self._take(reply)
        except NotSmtp as fault:
            self._fail(fault)
        if self._unread and not self._owed and self._fault is None:
            self._fail(NotSmtp("bytes that nobody asked for"))
        self._wake()

    def eof_received(self) -> bool:
        self._fail(SMTPServerDisconnected("the server closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        lost = SMTPServerDisconnected("the connection was reset" if exc else "the connection was closed")
        lost.__cause__ = exc
        self._fail(lost)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._rouse()

    def _take(self, reply: SMTPResponse) -> None:
        if self._owed:
            self._owed -= 1
            self._answers.append(reply)
        elif self.unasked is None or self.unasked.code == 421:
            self.unasked = reply  # keep the worst: a 421 alone is a goodbye, anything else a fault

    def _fail(self, fault: Exception) -> None:
        """Only the first fault counts: what follows it is its consequence."""
        if self._fault is None:
            self._fault = fault
        self._wake()

    def _wake(self) -> None:
        if self._answers or self._fault or self.unasked:
            self._rouse()

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What a conversation asks

    @property
    def in_step(self) -> bool:
        """Connected, nothing owed, nothing unasked: the next reply will belong to the next command."""
        return (
            self._fault is None
            and self.unasked is None
            and not (self._owed or self._answers or self._unread)
            and self.is_connected
        )

    @property
    def said_too_much(self) -> bool:
        """Something came that was neither owed nor a goodbye."""
        if self.unasked is not None and self.unasked.code != 421:
            return True
        return isinstance(self._fault, NotSmtp)

    @property
    def fault(self) -> Exception | None:
        return self._fault

    def write(self, data: bytes, replies: int = 1) -> None:
        """Write a command, or several together; the server owes this many replies."""
        super().write(data)
        self._owed += replies

    async def stays_silent(self, seconds: float) -> bool:
        """Whether nothing more comes for a while."""
        if self.in_step:
            await self._look_up(seconds)
        return self.in_step

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:
        """The next answer, within `timeout` seconds for all of it, however slowly it drips in."""
        timer = None if timeout is None else self._loop.call_later(timeout, self._time_over)
        try:
            while not self._answers and self._fault is None:
                self._waiter = self._loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return self._next_answer()

    async def read_to_the_end(self, timeout: float) -> SMTPResponse:
        """Like `read_response`, but a cancelled task goes on waiting (bounded by `timeout`).

        Once the dot is written the server may take the message at any moment: to leave now would lose its
        answer. A cancelled task's future is dead, so each cancellation gets a new one.
        """
        timer = self._loop.call_later(timeout, self._time_over)
        try:
            while not self._answers and self._fault is None:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                except asyncio.CancelledError:
                    continue
        finally:
            self._waiter = None
            timer.cancel()
        return self._next_answer()

    def _next_answer(self) -> SMTPResponse:
        if self._answers:
            return self._answers.popleft()
        assert self._fault is not None
        raise self._fault

    def _time_over(self) -> None:
        self._fail(SMTPReadTimeoutError("no reply in time"))

    # Large messages

    async def upload(self, views: Sequence[memoryview], *, standstill: float, total: float) -> None:
        """Write in pieces, never more than the transport wants, and notice a reader who stands still.

        Ends early when the server speaks or goes: `in_step` tells.
        """
        end = self._loop.time() + total
        for piece in (
            view[at : at + CHUNK_BYTES] for view in views for at in range(0, len(view), CHUNK_BYTES)
        ):
            if not self.in_step:
                return
            cast(asyncio.WriteTransport, self.transport).write(piece)
            if self._paused:
                await self._drain(standstill, end)

    async def _drain(self, standstill: float, end: float) -> None:
        """Wait until the transport wants more; as long as its buffer shrinks, the reader is alive."""
        transport = cast(asyncio.WriteTransport, self.transport)
        while self._paused and self._fault is None and self.unasked is None:
            before = transport.get_write_buffer_size()
            left = end - self._loop.time()
            if left <= 0:
                raise SMTPReadTimeoutError("the server reads the message too slowly")
            if await self._rested(min(standstill, left)) and left > standstill:
                self._insist_on_progress(transport, before)

    def _insist_on_progress(self, transport: asyncio.WriteTransport, before: int) -> None:
        if self._fault is None and transport.get_write_buffer_size() >= before:
            raise SMTPReadTimeoutError("the server stopped reading the message")

    async def _rested(self, seconds: float) -> bool:
        """Wait until something happens; True if nothing did."""
        await self._look_up(seconds)
        return self._paused and self.unasked is None and self._fault is None

    async def _look_up(self, seconds: float) -> None:
        """Until something happens, or the time is over."""
        self._waiter = waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._rouse)
        try:
            await waiter
        finally:
            self._waiter = None
            timer.cancel()

    def abort(self) -> None:
        """Close at once. close() would keep socket and buffer until a reader who never reads has read."""
        for transport in (self.transport, self.raw_transport):
            if transport is not None:
                cast(asyncio.WriteTransport, transport).abort()
