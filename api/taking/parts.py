"""One streamed part of a list: parsed as it arrives, stored in chunks, its memory flat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from api.claim import Claim
from api.errors import BrokenOff, KeyReused, Unavailable, UnsupportedType
from api.taking.csv_rows import CsvReader
from api.taking.ndjson_rows import NdjsonReader
from api.taking.part_progress import PartProgress
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
    archive: Archive,
    bulk_id: str,
    reader: ListReader,
    pieces: AsyncIterator[bytes],
    claim: Claim | None = None,
) -> Tally:
    """Store the part's recipients. What came before a fault stays: BrokenOff says how many and where.

    With a `claim` it goes on behind what a call that died had stored, and counts nobody twice.
    """
    part = _Part(archive, bulk_id, claim)
    try:
        async for piece in pieces:
            await part.take(reader.feed(piece))
        await part.take(reader.finish())
        await part.store_rest()
    except (ClientDisconnect, Conflict, KeyReused):
        raise
    except (SQLAlchemyError, OSError) as error:
        away = Unavailable("The archive stopped answering; send the part again.")
        raise BrokenOff(away, part.so_far(stopped_at=reader.row)) from error
    except PostwerkError as fault:
        await part.store_rest()
        raise BrokenOff(fault, part.so_far(stopped_at=reader.row)) from fault
    return part.tally


class _Part:
    def __init__(self, archive: Archive, bulk_id: str, claim: Claim | None) -> None:
        self.tally = Tally()
        self._archive = archive
        self._bulk_id = bulk_id
        self._claim = claim
        self._chunks: Chunks[NewRecipient] = Chunks(self.tally)
        self._told = 0
        self._progress = PartProgress()
        self._before = PartProgress.read(claim.progress if claim else None)

    async def take(self, found: Iterator[NewRecipient | Refusal]) -> None:
        async for chunk in self._chunks.take(found):
            await self._store(chunk)

    async def store_rest(self) -> None:
        rest, self._chunks.rows = self._chunks.rows, []
        if rest or self.tally.rejected > self._told:
            await self._store(rest)
        if self._progress.chunks < self._before.chunks:
            raise KeyReused

    async def _store(self, chunk: list[NewRecipient]) -> None:
        rejected = self.tally.rejected
        self._progress.pass_chunk(chunk, rejected)
        if self._progress.chunks > self._before.chunks:
            await self._add(chunk, rejected - self._told)
        elif self._progress.chunks == self._before.chunks:
            self._go_on_behind()
        self._told = rejected

    async def _add(self, chunk: list[NewRecipient], rejected: int) -> None:
        async with self._archive.writing() as connection:
            added = await add_recipients(connection, self._bulk_id, chunk, rejected)
            progress = self._progress.plus(added)
            if self._claim is not None:
                await self._claim.confirm(connection, progress.written())
        self._progress = progress
        self.tally.accepted, self.tally.duplicates = progress.accepted, progress.duplicates

    def _go_on_behind(self) -> None:
        """All that the call before stored has passed: it must have been the same. Raises KeyReused."""
        if not self._progress.is_as(self._before):
            raise KeyReused
        self._progress = replace(self._before)
        self.tally.accepted, self.tally.duplicates = self._before.accepted, self._before.duplicates

    def so_far(self, *, stopped_at: int) -> dict[str, object]:
        tally = self.tally
        return {
            "accepted": tally.accepted,
            "rejected": tally.rejected,
            "duplicates": tally.duplicates,
            "stopped_at_row": stopped_at,
        }
