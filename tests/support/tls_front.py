"""TLS in front of the sandbox, which speaks none: smtps://, with a certificate that can be changed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable
from typing import Self


class TlsFront:
    """`with TlsFront(lambda: sandbox.smtp_port, certificate) as front:` in a thread of the test's process."""

    def __init__(self, backend_port: Callable[[], int], certificate: tuple[str, str]) -> None:
        self._backend_port = backend_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.present(certificate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._talks: set[asyncio.Task[None]] = set()
        self.connections = 0
        """Counted before the handshake."""

    def present(self, certificate: tuple[str, str]) -> None:
        """Show this certificate (chain and key) to whoever connects from now on."""
        self._context.load_cert_chain(*certificate)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1000)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            # Who refuses our certificate hangs up.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.start_tls(self._context)
                await self._pass_on(reader, writer)
        finally:
            self._talks.discard(talk)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways, until one of the two hangs up."""
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._backend_port())
        ways = [asyncio.create_task(_pour(reader, ours)), asyncio.create_task(_pour(theirs, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            ours.transport.abort()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
