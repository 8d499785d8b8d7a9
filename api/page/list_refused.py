"""The rows of an uploaded list that were refused: all of them, found by reading it once more."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator

from api.page.list_taking import columns_of
from api.page.list_uploading import charset_of, pieces_of
from api.taking.mapped_rows import MappedReader
from postwerk.archive.drafts import DraftList
from postwerk.archive.engine import Archive
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import NewRecipient, Refusal

_HEADER = ("row", "to", "field", "code", "detail")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def refused_rows(archive: Archive, one: DraftList) -> AsyncIterator[list[Refusal]]:
    """Some at a time. Ends where the list broke off; that is told beside it."""
    columns = columns_of(one)
    if columns is None:
        return
    reader = MappedReader(columns, charset_of(one))
    try:
        async for piece in pieces_of(archive, one):
            yield await asyncio.to_thread(_refused, reader.feed(piece))
        yield _refused(reader.finish())
    except InvalidRequest:
        return


async def csv_lines(found: AsyncIterator[list[Refusal]]) -> AsyncIterator[str]:
    yield _written([_HEADER])
    async for some in found:
        if some:
            yield _written([(str(one.row), *map(_harmless, one[1:])) for one in some])


def _refused(found: Iterator[NewRecipient | Refusal]) -> list[Refusal]:
    return [one for one in found if isinstance(one, Refusal)]


def _harmless(cell: str) -> str:
    """A spreadsheet would carry out what begins like a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _written(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
