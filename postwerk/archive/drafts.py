"""Sends that are not started yet: said anew, and the lists that were uploaded for them, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel, col

from postwerk.archive.api_keys import rights_of_owner
from postwerk.archive.columns import to_microseconds
from postwerk.archive.draft_tables import DraftListRow, DraftPieceRow
from postwerk.archive.intake import NewBulkSend, store_content
from postwerk.archive.tables import BulkSendRow
from postwerk.contracts.states import BulkState
from postwerk.errors import Conflict, NotFound
from postwerk.rules.api_keys import check_from

ARRIVING, HERE, TAKEN, BROKEN = "arriving", "here", "taken", "broken"
"""A list comes in piece by piece; is here, its columns still to be told; its rows are recipients; or only
some are, as it broke off."""
PIECES_AT_ONCE = 20
_TABLES = SQLModel.metadata.tables
_LIST = _TABLES[DraftListRow.__tablename__]
_PIECE = _TABLES[DraftPieceRow.__tablename__]


@dataclass(frozen=True, slots=True)
class DraftList:
    """A list that was uploaded for an open bulk send."""

    id: str
    bulk_id: str
    name: str
    octets: int
    pieces: int
    state: str
    columns: Any
    """What its columns mean, as it was told; None: not yet."""
    accepted: int
    rejected: int
    duplicates: int
    refused: Sequence[Any]
    """The first rows that were refused."""
    detail: str


_SELECT = select(*(_LIST.c[name] for name in DraftList.__slots__))


async def rewrite_draft(connection: AsyncConnection, new: NewBulkSend) -> None:
    """Say an open bulk send anew; its recipients stay. Raises Conflict when it is not open, Forbidden."""
    changed = await connection.execute(
        update(BulkSendRow)
        .where(col(BulkSendRow.id) == new.id, col(BulkSendRow.state) == BulkState.OPEN.value)
        .values(
            name=new.name,
            content_id=await store_content(connection, new.content),
            options=new.options.model_dump(mode="json"),
            details=new.metadata,
        )
        .returning(col(BulkSendRow.owner))
    )
    row = changed.one_or_none()
    if row is None:
        raise Conflict("This bulk send is started already: what it says cannot be changed any more.")
    if row.owner and (rights := await rights_of_owner(connection, row.owner)) is not None:
        check_from(rights.domains, new.content)


async def begin_list(
    connection: AsyncConnection, id: str, bulk_id: str, name: str, *, columns: Any, now: datetime
) -> None:
    """A list begins to arrive for an open bulk send. Raises Conflict."""
    await _check_open(connection, bulk_id)
    await connection.execute(
        insert(DraftListRow).values(
            id=id,
            bulk_id=bulk_id,
            name=name,
            created_at=now,
            octets=0,
            pieces=0,
            state=ARRIVING,
            columns=columns,
            accepted=0,
            rejected=0,
            duplicates=0,
            detail="",
        )
    )


async def add_piece(connection: AsyncConnection, list_id: str, number: int, data: bytes) -> None:
    """The next piece; numbers count from 0."""
    await connection.execute(insert(DraftPieceRow).values(list_id=list_id, number=number, data=data))
    await connection.execute(
        update(DraftListRow)
        .where(col(DraftListRow.id) == list_id)
        .values(octets=col(DraftListRow.octets) + len(data), pieces=number + 1)
    )


async def set_list(connection: AsyncConnection, list_id: str, **columns: Any) -> None:
    """Write what has become of it."""
    await connection.execute(update(DraftListRow).where(col(DraftListRow.id) == list_id).values(**columns))


async def tell_columns(connection: AsyncConnection, one: DraftList, columns: Any) -> bool:
    """Write what its columns mean; False when somebody else has said something meanwhile."""
    done = await connection.execute(
        update(DraftListRow)
        .where(col(DraftListRow.id) == one.id, col(DraftListRow.columns) == one.columns)
        .values(columns=columns)
    )
    return done.rowcount == 1


async def piece(connection: AsyncConnection, list_id: str, number: int) -> bytes:
    """Raises NotFound."""
    query = select(_PIECE.c.data).where(_PIECE.c.list_id == list_id, _PIECE.c.number == number)
    found = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound("This list is not here any more.")
    return bytes(found)


async def draft_lists(connection: AsyncConnection, bulk_id: str) -> list[DraftList]:
    """Those that are here as a whole, in their order."""
    query = _SELECT.where(_LIST.c.bulk_id == bulk_id, _LIST.c.state != ARRIVING).order_by(_LIST.c.id)
    return [_draft_list(row) for row in await connection.execute(query)]


async def draft_list(connection: AsyncConnection, bulk_id: str, list_id: str) -> DraftList:
    """One of them. Raises NotFound."""
    query = _SELECT.where(_LIST.c.bulk_id == bulk_id, _LIST.c.id == list_id, _LIST.c.state != ARRIVING)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound("There is no such list here.")
    return _draft_list(row)


_LEFT = text("""
    SELECT id FROM draft_list WHERE (state = 'arriving' AND created_at < :before)
    OR NOT EXISTS (SELECT 1 FROM bulk_send WHERE bulk_send.id = draft_list.bulk_id AND state = 'open')
""")
_ERASE_PIECES = text("""
    DELETE FROM draft_piece WHERE list_id = :id AND number IN
        (SELECT number FROM draft_piece WHERE list_id = :id ORDER BY number LIMIT :some)
""")
_ERASE_LIST = text("DELETE FROM draft_list WHERE id = :id")
_BROKEN_OFF_AFTER = timedelta(hours=12)


async def lists_left_over(connection: AsyncConnection, now: datetime) -> list[str]:
    """Those that nobody needs: their send is started or ended, or they never came to their end."""
    before = to_microseconds(now - _BROKEN_OFF_AFTER)
    return list((await connection.execute(_LEFT, {"before": before})).scalars())


async def erase_list(connection: AsyncConnection, list_id: str) -> bool:
    """Erase some pieces of it; False when nothing is left."""
    done = await connection.execute(_ERASE_PIECES, {"id": list_id, "some": PIECES_AT_ONCE})
    if done.rowcount:
        return True
    await connection.execute(_ERASE_LIST, {"id": list_id})
    return False


async def _check_open(connection: AsyncConnection, bulk_id: str) -> None:
    query = select(_TABLES["bulk_send"].c.state).where(_TABLES["bulk_send"].c.id == bulk_id)
    state = (await connection.execute(query)).scalar_one_or_none()
    if state != BulkState.OPEN.value:
        raise Conflict("This bulk send takes no recipients (any more); make another one.")


def _draft_list(row: Row[Any]) -> DraftList:
    return DraftList(**{**row._mapping, "refused": row.refused or []})
