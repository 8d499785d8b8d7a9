"""The ledger: everything the sandbox took or refused, in SQLite, written before the 250 goes out.

It is the judge in crash tests. Acks are grouped: all that arrived while a commit ran shares the next one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from postwerk.sandbox import deleting, tables
from postwerk.sandbox.contacts import Contacts
from postwerk.sandbox.entries import ACCEPTED, NO_REPLY, Abandoned, Conversation, Refused, Taken
from postwerk.sandbox.news import News
from postwerk.sandbox.reference import Reference

Entry = Taken | Refused | Abandoned | Conversation
Done = Callable[[bool], None]
T = TypeVar("T")

# SQLite takes at most 32,766 parameters in one statement.
_ROWS_A_STATEMENT = 512
_DELETED_AT_ONCE = 2000

_REFUSAL = attrgetter("at", "recipient", "attempt", "stage", "code", "text", "mail_from", "conversation")
_ABANDONED = attrgetter("at", "recipient", "attempt", "stage", "mail_from", "conversation")
_CONVERSATION = attrgetter("id", "at", "client", "said", "login")


@dataclass(slots=True)
class Tally:
    """Running counts since the ledger was begun."""

    verdicts: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    abandoned: int = 0

    def told(self) -> dict[str, Any]:
        """As JSON tells it: how many of each state, and the refusals by code."""
        return {
            "accepted": self.verdicts[ACCEPTED],
            "no_reply": self.verdicts[NO_REPLY],
            "refused": {str(code): number for code, number in sorted(self.refused.items())},
            "abandoned": self.abandoned,
        }

    def add(self, entry: Entry) -> None:
        if isinstance(entry, Taken):
            self.verdicts[entry.verdict] += len(entry.recipients)
        elif isinstance(entry, Refused):
            self.refused[entry.code] += 1
        elif isinstance(entry, Abandoned):
            self.abandoned += 1


class Ledger:
    """The writing side; there is one in a process, and one thread that touches its connection."""

    def __init__(self, path: Path) -> None:
        self.tally = Tally()
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._database = tables.connect(path)
        tables.create(self._database)
        self._last_id = self._highest("message")
        self._last_conversation = self._highest("conversation")
        self.clears = 0
        """How often it was cleared: conversations written before are gone with the rest."""
        self.news = News()
        self._pending: list[tuple[Entry, Done | None]] = []
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    def start(self, contacts: Contacts) -> None:
        """Begin to write; counts and contacts of an earlier run are taken up again."""
        self.tally = self._counted()
        contacts.restore(self._rows(tables.KNOWN_CONTACTS))
        self._writer = asyncio.create_task(self._write_until_closed())

    def next_id(self, recipients: int) -> int:
        """Reserve one row id for each recipient and return the first."""
        first = self._last_id + 1
        self._last_id += recipients
        return first

    def next_conversation(self) -> int:
        """Reserve the number of one more conversation."""
        self._last_conversation += 1
        return self._last_conversation

    def write(self, entry: Entry, done: Done | None = None) -> None:
        """Queue an entry; `done(True)` is called once it is committed, `done(False)` if it could not be."""
        self._pending.append((entry, done))
        self._arrived.set()

    async def flush(self) -> None:
        """Wait until all that was queued before this call is written."""
        async with self._turn:
            await self._write_pending()

    async def clear(self) -> None:
        """Forget everything written so far."""
        async with self._turn:
            await self._write_pending()
            await self._in_thread(lambda: self._database.executescript(tables.CLEAR))
            self.tally = Tally()
            self.clears += 1
        self.news.tell()

    async def delete(self, references: Sequence[Reference]) -> int:
        """Take single rows out; the number of those that were there. What is not there is passed over."""
        count = 0
        for part in _parts(references, _DELETED_AT_ONCE):  # between them mail is taken
            async with self._turn:
                count += await self._in_thread(partial(deleting.delete, self._database, part))
        async with self._turn:
            await self._write_pending()
            self.tally = await self._in_thread(self._counted)
        self.news.tell()
        return count

    async def close(self) -> None:
        """Write what is pending, then let go of the file."""
        self._closing = True
        self._arrived.set()
        if self._writer is not None:
            await self._writer
        await self._in_thread(self._database.close)
        self._thread.shutdown()

    async def _write_until_closed(self) -> None:
        while not self._closing or self._pending:
            await self._arrived.wait()
            self._arrived.clear()
            async with self._turn:
                await self._write_pending()

    async def _write_pending(self) -> None:
        batch, self._pending = self._pending, []
        if not batch:
            return
        written = await self._in_thread(lambda: self._commit([entry for entry, _ in batch]))
        for entry, done in batch:
            if written:
                self.tally.add(entry)
            if done is not None:
                done(written)
        self.news.tell()

    def _commit(self, entries: Sequence[Entry]) -> bool:
        """Write one group in one transaction; False when the disk does not take it."""
        messages = [entry for entry in entries if isinstance(entry, Taken)]
        refusals = [entry for entry in entries if isinstance(entry, Refused)]
        abandoned = [entry for entry in entries if isinstance(entry, Abandoned)]
        conversations = [entry for entry in entries if isinstance(entry, Conversation)]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._insert("body", tables.BODY_COLUMNS, [(entry.id, entry.packed) for entry in messages])
            self._insert(
                "message", tables.MESSAGE_COLUMNS, [row for entry in messages for row in _rows_of(entry)]
            )
            self._insert("refusal", tables.REFUSAL_COLUMNS, list(map(_REFUSAL, refusals)))
            self._insert("abandoned", tables.ABANDONED_COLUMNS, list(map(_ABANDONED, abandoned)))
            self._insert("conversation", tables.CONVERSATION_COLUMNS, list(map(_CONVERSATION, conversations)))
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            return False
        return True

    def _insert(self, table: str, columns: int, rows: Sequence[tuple[Any, ...]]) -> None:
        # One statement for many rows gives up the interpreter lock once instead of once a row. Beside a busy
        # event loop, asking for it back can cost a whole switch interval each time.
        for part in _parts(rows, _ROWS_A_STATEMENT):
            self._database.execute(tables.insert(table, columns, len(part)), list(chain.from_iterable(part)))

    def _counted(self) -> Tally:
        verdicts = self._rows("SELECT verdict, count(*) FROM message GROUP BY verdict")
        refused = self._rows("SELECT code, count(*) FROM refusal GROUP BY code")
        ((abandoned,),) = self._rows("SELECT count(*) FROM abandoned")
        return Tally(Counter(dict(verdicts)), Counter(dict(refused)), abandoned)

    def _highest(self, table: str) -> int:
        highest: int = self._rows(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0]
        return highest

    def _rows(self, query: str) -> list[Any]:
        return self._database.execute(query).fetchall()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _rows_of(entry: Taken) -> list[tuple[Any, ...]]:
    shared = (entry.verdict, entry.message_id, entry.subject, entry.size, entry.sha256, entry.id)
    later = (entry.sender, entry.conversation)
    return [
        (entry.id + offset, entry.at, entry.mail_from, recipient, attempt, *shared, *later)
        for offset, (recipient, attempt) in enumerate(entry.recipients)
    ]


def _parts(whole: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (whole[start : start + most] for start in range(0, len(whole), most))
