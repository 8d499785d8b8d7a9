"""Reading the inbox as people do: newest first, searched, one and its neighbours."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from postwerk.sandbox import full_text, tables
from postwerk.sandbox.conversations import TRIES, Facts, Try, read_facts
from postwerk.sandbox.inbox_rows import Entry, says, select
from postwerk.sandbox.maildrop import DROPS, Drop, recipients_of
from postwerk.sandbox.paging import Cursor, Page, Patience, page_of
from postwerk.sandbox.reference import KINDS, Kind, Reference
from postwerk.sandbox.search import Term, needs_the_mails

T = TypeVar("T")

_AT_ONCE = 1000


class InboxReader:
    """The reading side for pages, POP3 and searches; a slow search keeps no other reader waiting."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, "inbox")
        self._database = tables.connect(path, reading=True)
        self._database.create_function("says", 2, says, deterministic=True)
        self._attached: dict[int, bool] = {}

    async def close(self) -> None:
        await self._in_thread(self._database.close)
        self._thread.shutdown()

    async def page(self, terms: Sequence[Term], before: Cursor, limit: int) -> Page:
        return await self._in_thread(lambda: self._page(terms, before, limit))

    async def count(self, terms: Sequence[Term]) -> int | None:
        """How many there are; None when only reading all the mails would tell."""
        if needs_the_mails(terms):
            return None
        return await self._in_thread(lambda: sum(self._count(kind, terms) for kind in KINDS))

    async def references(self, terms: Sequence[Term]) -> list[Reference]:
        """Everything that matches, however long it takes; between the parts others have their turn."""
        found: list[Reference] = []
        cursor: Cursor | None = Cursor()
        while cursor is not None:
            page = await self.page(terms, cursor, _AT_ONCE)
            found += [entry.reference for entry in page.entries]
            cursor = page.following
        return found

    async def entry(self, reference: Reference) -> Entry | None:
        return await self._in_thread(lambda: self._first(reference.kind, (), "id = ?", reference.number))

    async def neighbours(self, entry: Entry, terms: Sequence[Term]) -> tuple[Entry | None, Entry | None]:
        """The next newer and the next older one of the same search."""
        return await self._in_thread(
            lambda: (self._beside(entry, terms, ">"), self._beside(entry, terms, "<"))
        )

    async def raw(self, body_id: int) -> bytes | None:
        """The exact bytes of a mail, dots taken out."""
        return await self._in_thread(lambda: self._raw(body_id))

    async def with_attachments(self, entries: Sequence[Entry]) -> set[int]:
        """The body ids among these that have attachments; each mail is looked at once."""
        return await self._in_thread(
            lambda: {entry.body_id for entry in entries if entry.body_id and self._is_attached(entry)}
        )

    async def facts(self, entry: Entry) -> Facts:
        """Who handed it in, and what else came with it."""
        return await self._in_thread(lambda: read_facts(self._database, entry))

    async def tries(self, rcpt_to: str) -> list[Try]:
        """The latest tries of an address, newest first."""
        return await self._in_thread(
            lambda: [Try(*row) for row in self._database.execute(TRIES, (rcpt_to,))] if rcpt_to else []
        )

    async def drops(self, user: str) -> list[Drop]:
        """The mails a POP3 user sees, oldest first."""
        pattern = recipients_of(user)
        newest = await self._in_thread(lambda: self._database.execute(DROPS, (pattern,)).fetchall())
        return [Drop(*row) for row in reversed(newest)]

    def _page(self, terms: Sequence[Term], before: Cursor, limit: int) -> Page:
        patience = Patience()
        found = {kind: self._some(kind, terms, before.of(kind), limit + 1, patience) for kind in KINDS}
        return page_of(found, before, limit, patience.gave_up_at)

    def _some(
        self, kind: Kind, terms: Sequence[Term], below: int, limit: int, patience: Patience
    ) -> list[Entry]:
        costly = [term for term in terms if term.needs_the_mail]
        candidates = self._select(kind, terms, "id < ?", below)
        if costly:
            candidates = self._that_hold(costly, candidates, patience)
        return list(islice(candidates, limit))

    def _that_hold(
        self, terms: Sequence[Term], candidates: Iterator[Entry], patience: Patience
    ) -> Iterator[Entry]:
        for entry in candidates:
            if entry.body_id and patience.is_over():
                patience.gave_up_at = entry.id + 1
                return
            raw = self._raw(entry.body_id) if entry.body_id else None
            if all(full_text.holds(term, raw) for term in terms):
                yield entry

    def _select(
        self, kind: Kind, terms: Sequence[Term], further: str, value: float, order: str = "id DESC"
    ) -> Iterator[Entry]:
        query, values = select(kind, terms, further, order)
        return (Entry(*row) for row in self._database.execute(query, [value, *values]))

    def _first(
        self, kind: Kind, terms: Sequence[Term], further: str, value: float, order: str = "id DESC"
    ) -> Entry | None:
        return next(self._select(kind, terms, further, value, order), None)

    def _count(self, kind: Kind, terms: Sequence[Term]) -> int:
        query, values = select(kind, terms, "1")
        count: int = self._database.execute(f"SELECT count(*) FROM ({query})", values).fetchone()[0]
        return count

    def _beside(self, entry: Entry, terms: Sequence[Term], side: str) -> Entry | None:
        """In its own table the number tells the order; the others are told by their time."""
        order = "id ASC" if side == ">" else "id DESC"
        patience, found = Patience(), []
        for kind in KINDS:
            own = kind == entry.kind
            candidates = self._select(
                kind, terms, f"{'id' if own else 'at'} {side} ?", entry.id if own else entry.at, order
            )
            costly = [term for term in terms if term.needs_the_mail]
            nearest = next(self._that_hold(costly, candidates, patience) if costly else candidates, None)
            if nearest is not None:
                found.append(nearest)
        nearer = min if side == ">" else max
        return nearer(found, key=lambda one: one.at, default=None)

    def _is_attached(self, entry: Entry) -> bool:
        known = self._attached.get(entry.body_id)
        if known is None:
            raw = self._raw(entry.body_id)
            known = raw is not None and full_text.has_attachment(raw)
            if len(self._attached) >= _AT_ONCE * 10:
                self._attached.clear()
            self._attached[entry.body_id] = known
        return known

    def _raw(self, body_id: int) -> bytes | None:
        row = self._database.execute("SELECT packed FROM body WHERE id = ?", (body_id,)).fetchone()
        return zlib.decompress(row[0]) if row else None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
