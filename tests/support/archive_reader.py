"""Reading the archive of a running system from a test without a loop of its own: one look, one snapshot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive import reads
from postwerk.archive.engine import Archive, ArchiveConfig

T = TypeVar("T")

_MESSAGES = text("""
    SELECT seq, state, round, attempts, possible_duplicate, next_state FROM message
    WHERE bulk_id = :bulk_id ORDER BY seq
""")
_UNFINISHED = text("SELECT id, verb, state FROM operation WHERE state IN ('running', 'telling')")
_FAILED = text("SELECT id, verb, detail FROM operation WHERE state = 'failed'")


class Row(NamedTuple):
    """A message as the archive holds it."""

    seq: int
    state: str
    round: int
    attempts: int
    marked: bool
    """possible_duplicate"""
    next_state: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A bulk send at one moment. `accounting` as postwerk.archive.reads answers it."""

    state: str
    rows: list[Row]
    accounting: dict[str, Any]


class ArchiveReader:
    """`with ArchiveReader(url) as reader:` its loop lives in a thread, its connections stay open."""

    def __init__(self, url: str) -> None:
        self._archive = Archive(ArchiveConfig(url, connections=1))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="archive reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._run(self._archive.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def snapshot(self, bulk_id: str) -> Snapshot:
        async def look(connection: AsyncConnection) -> Snapshot:
            accounting = await reads.accounting(connection, bulk_id)
            rows = await connection.execute(_MESSAGES, {"bulk_id": bulk_id})
            return Snapshot(accounting["state"], [Row(*row) for row in rows], accounting)

        return self._read(look)

    def unfinished_operations(self) -> list[str]:
        """As "op_... hold running"."""
        return self._lines(_UNFINISHED)

    def failed_operations(self) -> list[str]:
        """With what they say of it."""
        return self._lines(_FAILED)

    def _lines(self, query: Any) -> list[str]:
        async def look(connection: AsyncConnection) -> list[str]:
            return [" ".join(row) for row in await connection.execute(query)]

        return self._read(look)

    def _read(self, look: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        async def within() -> T:
            async with self._archive.reading() as connection:
                return await look(connection)

        return self._run(within())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)
