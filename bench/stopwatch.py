"""A judge for one mail at a time: an SMTP server in a thread of ours that notes when it said what."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Self

_REPLIES = {b"EHLO": b"250 stopwatch\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}
_RECIPIENT = b"RCPT TO:<"


class Stopwatch:
    """`with Stopwatch() as sink:`; moments are by time.time(), which all processes of a machine share."""

    def __init__(self) -> None:
        self.greeted: dict[str, float] = {}
        """When MAIL came, by recipient."""
        self.taken: dict[str, float] = {}
        """When the 250 to the dot was written, by recipient."""
        self._arrived = threading.Condition()

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(ready),), daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def wait_for(self, address: str, seconds: float) -> float:
        """The moment of its 250."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: address in self.taken, seconds):
                raise RuntimeError(f"{address} got no mail within {seconds:.0f} s")
        return self.taken[address]

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        ready.set()
        await self._stop.wait()
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 stopwatch ESMTP\r\n")
        greeted, address = 0.0, ""
        while line := await reader.readline():
            verb = line[:4].upper()
            greeted = time.time() if verb == b"MAIL" else greeted
            address = line[len(_RECIPIENT) :].partition(b">")[0].decode() if verb == b"RCPT" else address
            writer.write(_REPLIES.get(verb, b"250 ok\r\n"))
            if verb == b"DATA":
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
                self._note(address, greeted)
            elif verb == b"QUIT":
                break
        writer.close()

    def _note(self, address: str, greeted: float) -> None:
        with self._arrived:
            self.greeted[address], self.taken[address] = greeted, time.time()
            self._arrived.notify_all()
