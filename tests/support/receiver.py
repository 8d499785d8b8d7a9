"""A receiver of webhooks: a real HTTP server that says what it is told to, and keeps what came."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import orjson
from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Got:
    """One request as it came."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        document = self.document
        return list(document["data"]["events"]) if document["type"] == "events" else [document]

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HANG, DROP, DRIP, FLOOD = b"hang", b"drop", b"drip", b"flood"
"""Says nothing; closes the connection; sends its body by single octets; never ends its body."""


def answer(status: int, body: str = "", **headers: str) -> bytes:
    """`retry_after="5"` is the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()


class Receiver:
    """`with Receiver() as receiver:` it listens. Each answer is used once, the last one for ever."""

    def __init__(
        self, *answers: bytes, tls: ssl.SSLContext | None = None, kept: Callable[[Got], None] | None = None
    ) -> None:
        self.answers = list(answers) or [OK]
        self.got: list[Got] = []
        self.connections = 0
        self._tls = tls
        self._kept = kept
        self.port = 0

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for got in list(self.got) for event in got.events]

    def wait_for(self, count: int, seconds: float = 20) -> list[Got]:
        """Until so many requests came."""
        end = time.monotonic() + seconds
        while len(self.got) < count:
            assert time.monotonic() < end, f"{len(self.got)} requests, not {count}"
            time.sleep(0.01)
        return list(self.got)

    async def requests(self, count: int, seconds: float = 20) -> list[Got]:
        return await asyncio.to_thread(self.wait_for, count, seconds)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls, limit=2**24)
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(_header(line) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        got = Got(time.time(), head[0].split(" ")[1], headers, body)
        if self._kept is not None:
            self._kept(got)
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.got.append(got)
        return await self._say(writer, said)

    async def _say(self, writer: asyncio.StreamWriter, said: bytes) -> bool:
        """Whether the connection goes on."""
        if said == HANG:
            await asyncio.sleep(3600)
        if said == DROP:
            return False
        if said in (DRIP, FLOOD):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            for piece in _endless(b"x" if said == DRIP else b"x" * 65536):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.2 if said == DRIP else 0)
        writer.write(said)
        await writer.drain()
        return True


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _endless(piece: bytes) -> Iterable[bytes]:
    while True:
        yield piece
