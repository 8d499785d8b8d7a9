"""Reading the ledger: one method per question, on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from postwerk.sandbox import attempts, history, tables
from postwerk.sandbox.history import Recipient

T = TypeVar("T")

_COLUMNS = "id, taken_at, mail_from, rcpt_to, attempt, verdict, message_id, subject, size, sha256"
_RECIPIENTS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Stored:
    """One row of the ledger, without the bytes."""

    id: int
    taken_at: float
    """Seconds since 1970."""
    mail_from: str
    rcpt_to: str
    attempt: int
    verdict: str
    message_id: str
    subject: str
    size: int
    sha256: str


class Reader:
    """The reading side of a ledger."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, "reader")
        self._database = tables.connect(path, reading=True)

    async def close(self) -> None:
        await self._in_thread(self._database.close)
        self._thread.shutdown()

    async def messages_after(self, number: int, limit: int, to: str | None = None) -> list[Stored]:
        """Oldest first, behind row `number`; `to` is one exact recipient."""
        condition, values = ("AND rcpt_to = ?", (to,)) if to is not None else ("", ())
        query = f"SELECT {_COLUMNS} FROM message WHERE id > ? {condition} ORDER BY id LIMIT ?"
        return [Stored(*row) for row in await self._rows(query, (number, *values, limit))]

    async def copies(self) -> dict[str, int]:
        """Copies, distinct recipients, and copies that repeat a Message-ID to the same recipient."""
        query = """
            SELECT coalesce(sum(n), 0), count(DISTINCT rcpt_to), coalesce(sum(n - 1), 0)
            FROM (SELECT rcpt_to, count(*) AS n FROM message GROUP BY rcpt_to, message_id)
        """
        ((copies, recipients, duplicates),) = await self._rows(query)
        return {"copies": copies, "recipients": recipients, "duplicates": duplicates}

    async def recipients(self) -> AsyncIterator[list[Recipient]]:
        """Every address that was tried, in alphabetical order, some thousand at a time."""
        names = await self._names_after("")
        while names:
            yield list(history.by_recipient(await self._rows(history.TRIES, (names[0], names[-1]))))
            names = await self._names_after(names[-1])

    async def recipient(self, address: str) -> Recipient | None:
        found = history.by_recipient(await self._rows(history.TRIES, (address, address)))
        return next(found, None)

    async def attempts(self, since: float, domain: str | None, stages: Iterable[str]) -> list[dict[str, Any]]:
        """Every attempt since then (seconds since 1970) that ended at one of `stages`, oldest first."""
        values = {"since": since, "to": attempts.recipients_of(domain)}
        return await self._in_thread(
            lambda: attempts.told(self._database.execute(attempts.ATTEMPTS, values), stages)
        )

    async def _names_after(self, last: str) -> list[str]:
        return [name for (name,) in await self._rows(history.NAMES_AFTER, (last, _RECIPIENTS_AT_ONCE))]

    async def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return await self._in_thread(lambda: self._database.execute(query, values).fetchall())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
