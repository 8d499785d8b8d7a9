"""POP3 (RFC 1939, RFC 2449) over the inbox: the user name chooses whose mail, any password will do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postwerk.sandbox.inbox_reader import InboxReader
from postwerk.sandbox.ledger import Ledger
from postwerk.sandbox.pop3_session import LONGEST_LINE, Pop3Session

_MOST_SESSIONS = 50
_IDLE_SECONDS = 600.0  # RFC 1939 3: ten minutes at least


class Pop3Server:
    """The door; at most so many sessions at once, each with its list of mails in memory, and one mail."""

    def __init__(self, reader: InboxReader, ledger: Ledger, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._reader = reader
        self._ledger = ledger
        self._idle_seconds = idle_seconds
        self._sessions: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, door: socket.socket) -> AsyncIterator[None]:
        """Serve on this socket; at the end whoever is connected is cut off, and nothing of theirs deleted."""
        server = await asyncio.start_server(self._serve, sock=door, limit=LONGEST_LINE)
        try:
            yield
        finally:
            server.close()
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        full = len(self._sessions) >= _MOST_SESSIONS
        self._sessions.add(task)
        try:
            if full:
                writer.write(b"-ERR [SYS/TEMP] Too many sessions, try again later\r\n")
            else:
                await Pop3Session(self._reader, self._ledger, reader, writer, self._idle_seconds).run()
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.close()  # RFC 1939 3: an idle or lost session ends without deleting anything
        finally:
            self._sessions.discard(task)
            writer.close()
