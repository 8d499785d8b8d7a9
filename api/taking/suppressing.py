"""Storing entries of the suppression list, chunk by chunk; what was committed stays and is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import ClientDisconnect

from api.errors import BrokenOff, Unavailable
from api.taking.storing import Chunks, Refusals
from api.taking.suppression_rows import SuppressionCsv
from postwerk.archive.audit import Actor, count_more, write_audit
from postwerk.archive.engine import Archive
from postwerk.archive.suppressions import NewSuppression, add_suppressions
from postwerk.errors import PostwerkError
from postwerk.rules.recipients import Refusal

Found = Iterable[NewSuppression | Refusal]


@dataclass(slots=True)
class Listed(Refusals):
    """What became of the entries so far."""

    added: int = 0
    known: int = 0


@dataclass(slots=True)
class ListingDeed:
    """Who lists addresses, as the audit trail shows it: one entry, whose count grows with each commit."""

    actor: Actor
    target: str = ""
    reason: str = ""
    entry_id: str = ""
    """Of what is committed so far."""

    async def tell_audit(self, connection: AsyncConnection, source: str, added: int, now: datetime) -> str:
        """In the transaction that lists them; nothing is said of addresses that were listed before."""
        if not added:
            return self.entry_id
        if self.entry_id:
            await count_more(connection, self.entry_id, added)
            return self.entry_id
        return await write_audit(
            connection,
            self.actor,
            "suppression.add",
            at=now,
            target=self.target,
            reason=self.reason,
            count=added,
            details={"source": source},
        )


async def store_entries(
    archive: Archive, found: Found, *, deed: ListingDeed, now: Callable[[], datetime]
) -> Listed:
    """Store the entries of a JSON list. BrokenOff says what was stored when the archive goes away."""
    part = _Part(archive, "api", deed, now)
    try:
        await part.take(found)
        await part.store_rest()
    except (SQLAlchemyError, OSError) as error:
        raise BrokenOff(_away(), part.so_far()) from error
    return part.listed


async def store_list(
    archive: Archive,
    reader: SuppressionCsv,
    pieces: AsyncIterator[bytes],
    *,
    actor: Actor,
    now: Callable[[], datetime],
) -> Listed:
    """Store a CSV list. What came before a fault stays: BrokenOff says how many and where."""
    part = _Part(archive, "import", ListingDeed(actor, reason="import"), now)
    try:
        async for piece in pieces:
            await part.take(reader.feed(piece))
        await part.take(reader.finish())
        await part.store_rest()
    except ClientDisconnect:
        raise
    except (SQLAlchemyError, OSError) as error:
        raise BrokenOff(_away(), part.so_far() | {"stopped_at_row": reader.row}) from error
    except PostwerkError as fault:
        await part.store_rest()
        raise BrokenOff(fault, part.so_far() | {"stopped_at_row": reader.row}) from fault
    return part.listed


class _Part:
    def __init__(self, archive: Archive, source: str, deed: ListingDeed, now: Callable[[], datetime]) -> None:
        self.listed = Listed()
        self._deed = deed
        self._archive = archive
        self._source = source
        self._now = now
        self._chunks: Chunks[NewSuppression] = Chunks(self.listed)

    async def take(self, found: Found) -> None:
        async for chunk in self._chunks.take(found):
            await self._store(chunk)

    async def store_rest(self) -> None:
        rest, self._chunks.rows = self._chunks.rows, []
        if rest:
            await self._store(rest)

    async def _store(self, chunk: list[NewSuppression]) -> None:
        async with self._archive.writing() as connection:
            now = self._now()
            added = await add_suppressions(connection, chunk, source=self._source, now=now)
            entry_id = await self._deed.tell_audit(connection, self._source, added, now)
        self._deed.entry_id = entry_id
        self.listed.added += added
        self.listed.known += len(chunk) - added

    def so_far(self) -> dict[str, object]:
        listed = self.listed
        return {"added": listed.added, "known": listed.known, "rejected": listed.rejected}


def _away() -> Unavailable:
    return Unavailable("The archive stopped answering; send the list again.")
