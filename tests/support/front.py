"""A door in front of a mail server that can be shut and opened, and knows by the skipped time who knocked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from temporalio.testing import WorkflowEnvironment

CLOSES = b""
"""What a shut door says before it closes: nothing."""


class Front:
    """Lets connections through to `port` while it is open; closes them at once while it is shut."""

    def __init__(self, environment: WorkflowEnvironment, port: int) -> None:
        self._environment = environment
        self._port = port
        self._connections: set[asyncio.StreamWriter] = set()
        self.shut_with: bytes | None = None
        self.refused: list[datetime] = []
        """When somebody came while it was shut."""
        self.let_in: list[datetime] = []

    def shut(self, saying: bytes = CLOSES) -> None:
        self.shut_with = saying
        for writer in list(self._connections):
            writer.close()

    def open(self) -> None:
        self.shut_with = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = await self._environment.get_current_time()
        if self.shut_with is not None:
            self.refused.append(now)
            writer.write(self.shut_with)
            writer.close()
            return
        self.let_in.append(now)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._connections |= {writer, inner_writer}
        await asyncio.gather(_pass_on(reader, inner_writer), _pass_on(inner_reader, writer))
        self._connections -= {writer, inner_writer}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def front_of(environment: WorkflowEnvironment, port: int) -> AsyncIterator[tuple[Front, str]]:
    """The door, and the URL of a relay behind it."""
    front = Front(environment, port)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    try:
        yield front, f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        front.shut()
        server.close()
