"""One streamed part of a list: parsed as it arrives, stored in chunks, its memory flat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from api.errors import BrokenOff, Unavailable, UnsupportedType
from api.taking.csv_rows import CsvReader
from api.taking.ndjson_rows import NdjsonReader
from api.taking.storing import Chunks, Tally
from postwerk.archive.engine import Archive
from postwerk.archive.intake import add_recipients
from postwerk.errors import Conflict, InvalidRequest, PostwerkError
from postwerk.rules.recipients import NewRecipient, Refusal


class ListReader(Protocol):
    """Turns bytes into recipients; `row` is where it is."""

    row: int

    def feed(self, data: bytes) -> Iterator[NewRecipient | Refusal]: ...

    def finish(self) -> Iterator[NewRecipient | Refusal]: ...


def reader_for(media_type: str, charset: str | None) -> ListReader:
    """The reader of this media type. Raises UnsupportedType, InvalidRequest for an unknown charset."""
    if media_type in ("application/x-ndjson", "application/ndjson", "application/jsonl"):
        if charset not in (None, "utf-8", "utf8"):
            raise InvalidRequest("NDJSON is always UTF-8 (RFC 8259).", code="invalid_encoding")
        return NdjsonReader()
    if media_type == "text/csv":
        return CsvReader(charset)
    raise UnsupportedType("Send the recipients as application/x-ndjson or text/csv.")


async def store_part(
    archive: Archive, bulk_id: str, reader: ListReader, pieces: AsyncIterator[bytes]
) -> Tally:
    """Store the part's recipients. What came before a fault stays: BrokenOff says how many and where."""
    part = _Part(archive, bulk_id)
    try:
        async for piece in pieces:
            await part.take(reader.feed(piece))
        await part.take(reader.finish())
        await part.store_rest()
    except (ClientDisconnect, Conflict):
        raise
    except (SQLAlchemyError, OSError) as error:
        away = Unavailable("The archive stopped answering; send the part again.")
        raise BrokenOff(away, part.so_far(stopped_at=reader.row)) from error
    except PostwerkError as fault:
        await part.store_rest()
        raise BrokenOff(fault, part.so_far(stopped_at=reader.row)) from fault
    return part.tally


class _Part:
    def __init__(self, archive: Archive, bulk_id: str) -> None:
        self.tally = Tally()
        self._archive = archive
        self._bulk_id = bulk_id
        self._chunks: Chunks[NewRecipient] = Chunks(self.tally)
        self._told = 0

    async def take(self, found: Iterator[NewRecipient | Refusal]) -> None:
        async for chunk in self._chunks.take(found):
            await self._store(chunk)

    async def store_rest(self) -> None:
        rest, self._chunks.rows = self._chunks.rows, []
        if rest or self.tally.rejected > self._told:
            await self._store(rest)

    async def _store(self, chunk: list[NewRecipient]) -> None:
        rejected = self.tally.rejected
        async with self._archive.writing() as connection:
            added = await add_recipients(connection, self._bulk_id, chunk, rejected - self._told)
        self._told = rejected
        self.tally.accepted += added.accepted
        self.tally.duplicates += added.duplicates

    def so_far(self, *, stopped_at: int) -> dict[str, object]:
        tally = self.tally
        return {
            "accepted": tally.accepted,
            "rejected": tally.rejected,
            "duplicates": tally.duplicates,
            "stopped_at_row": stopped_at,
        }
