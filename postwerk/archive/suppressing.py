"""Finding the listed recipients of a large bulk send, page by page, along the shorter of two ways.

A bulk send of a million against a list of ten thousand: each entry is looked up among the messages. The
other way round: each message is looked up in the list. An empty list costs one look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.suppressions import FOR_THIS_SEND

PAGE = 20_000
"""Entries, or messages, that one reading transaction looks through."""

_BULK_SEND = text("SELECT next_seq - 1 AS last_seq, accepted, batches FROM bulk_send WHERE id = :bulk_id")
_ENTRIES = text("SELECT count(*) FROM (SELECT 1 FROM suppression LIMIT :enough) AS counted")
_END_OF_PAGE = text("""
    SELECT address FROM suppression WHERE address > :after ORDER BY address LIMIT 1 OFFSET :page
""")
# One look into the index over addresses for each entry, on both databases: for a join, PostgreSQL would read
# all the messages. The lower() of the entry changes nothing but this: compared with a plain column, SQLite
# does not use an index over an expression.
_BY_ENTRIES = f"""
    SELECT (
        SELECT message.seq FROM message WHERE message.bulk_id = :bulk_id
            AND lower(message.address) = lower(suppression.address) AND message.state = 'queued'
    ) AS seq
    FROM suppression WHERE suppression.address > :after AND {FOR_THIS_SEND} {{end}}
"""
_UP_TO = text(_BY_ENTRIES.format(end="AND suppression.address <= :end"))
_THE_REST = text(_BY_ENTRIES.format(end=""))
_BY_MESSAGES = text(f"""
    SELECT message.seq FROM message
    WHERE message.bulk_id = :bulk_id AND message.seq > :after AND message.seq <= :end
        AND message.state = 'queued'
        AND EXISTS (
            SELECT 1 FROM suppression WHERE suppression.address = lower(message.address) AND {FOR_THIS_SEND}
        )
""")


@dataclass(frozen=True, slots=True)
class Search:
    """Where the search stands: behind this address of the list; or, when it is None, behind this seq."""

    bulk_id: str
    last_seq: int
    address: str | None
    seq: int = 0


async def begin_search(connection: AsyncConnection, bulk_id: str) -> Search | None:
    """None when there is nothing to look for: nobody is listed, or the bulk send is planned already."""
    bulk = (await connection.execute(_BULK_SEND, {"bulk_id": bulk_id})).one_or_none()
    if bulk is None or bulk.batches is not None:
        return None
    entries = (await connection.execute(_ENTRIES, {"enough": bulk.accepted + 1})).scalar_one()
    if entries == 0:
        return None
    return Search(bulk_id, bulk.last_seq, address="" if entries <= bulk.accepted else None)


async def search_page(connection: AsyncConnection, search: Search) -> tuple[Sequence[int], Search | None]:
    """The next listed recipients, by seq, that still wait; and where to go on, None at the end."""
    if search.address is None:
        return await _by_messages(connection, search)
    return await _by_entries(connection, search, search.address)


async def _by_messages(connection: AsyncConnection, search: Search) -> tuple[Sequence[int], Search | None]:
    end = search.seq + PAGE
    found = await connection.execute(
        _BY_MESSAGES, {"bulk_id": search.bulk_id, "after": search.seq, "end": end}
    )
    return _seqs(found), replace(search, seq=end) if end < search.last_seq else None


async def _by_entries(
    connection: AsyncConnection, search: Search, after: str
) -> tuple[Sequence[int], Search | None]:
    page = {"after": after, "page": PAGE - 1}
    end = (await connection.execute(_END_OF_PAGE, page)).scalar_one_or_none()
    where = {"bulk_id": search.bulk_id, "after": after}
    if end is None:
        return _seqs(await connection.execute(_THE_REST, where)), None
    found = await connection.execute(_UP_TO, {**where, "end": end})
    return _seqs(found), replace(search, address=end)


def _seqs(found: CursorResult[Any]) -> list[int]:
    """In order, without those who get no mail from this bulk send anyway."""
    return sorted(seq for (seq,) in found if seq is not None)
