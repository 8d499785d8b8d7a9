"""The bulk sends as a person wants them: those under way first, then the ended ones, each newest first."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.reads import BulkSend, bulk_sends_named
from postwerk.archive.tables import BulkSendRow
from postwerk.contracts.states import ENDED, BulkState, SendKind

_BULK = SQLModel.metadata.tables[BulkSendRow.__tablename__].c
_ENDED = [state.value for state in ENDED]
_LIVE = [state.value for state in BulkState if state not in ENDED and state is not BulkState.STORING]


class SendCursor(NamedTuple):
    """The last send of a page, and whether it had ended then."""

    ended: bool
    id: str


class SendPage(NamedTuple):
    """`next`: where to go on; None at the end."""

    sends: list[BulkSend]
    next: SendCursor | None


async def send_page(connection: AsyncConnection, *, limit: int, after: SendCursor | None = None) -> SendPage:
    """The next bulk sends. One that ends while one turns the pages may be seen twice, and none is missed."""
    live = [] if after and after.ended else await _live(connection, limit + 1, after.id if after else "")
    missing = limit + 1 - len(live)
    ended = await _ended(connection, missing, after.id if after and after.ended else "") if missing else []
    ids = [SendCursor(False, one) for one in live] + [SendCursor(True, one) for one in ended]
    found = await bulk_sends_named(connection, [one.id for one in ids[:limit]])
    sends = [found[one.id] for one in ids[:limit] if one.id in found]
    return SendPage(sends, ids[limit - 1] if len(ids) > limit else None)


async def _live(connection: AsyncConnection, limit: int, after: str) -> list[str]:
    query = select(_BULK.id).where(_BULK.state.in_(_LIVE), _BULK.kind == SendKind.BULK.value)
    if after:
        query = query.where(_BULK.id < after)
    return list((await connection.execute(query.order_by(_BULK.id.desc()).limit(limit))).scalars())


async def _ended(connection: AsyncConnection, limit: int, after: str) -> list[str]:
    """Along the index of kinds, newest first."""
    query = select(_BULK.id).where(_BULK.kind == SendKind.BULK.value, _BULK.state.in_(_ENDED))
    if after:
        place = select(_BULK.created_at, _BULK.id).where(_BULK.id == after).subquery()
        behind = tuple_(_BULK.created_at, _BULK.id) < select(place).scalar_subquery()
        query = query.where(behind)
    query = query.order_by(_BULK.created_at.desc(), _BULK.id.desc()).limit(limit)
    return list((await connection.execute(query)).scalars())
