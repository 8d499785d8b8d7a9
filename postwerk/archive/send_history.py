"""What was done to a bulk send, what was told of it, and how it was planned: for its own page."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.outbox_tables import EventRow
from postwerk.archive.tables import AuditRow, BatchRow
from postwerk.contracts.events import EventType

_TABLES = SQLModel.metadata.tables
_AUDIT, _EVENT = _TABLES[AuditRow.__tablename__].c, _TABLES[EventRow.__tablename__].c
_BATCH = _TABLES[BatchRow.__tablename__].c
_OF_THE_WHOLE = tuple(kind.value for kind in EventType if kind.value.startswith("bulk_send."))
_LOOKED_AT = 5000
"""Of so many latest entries of the audit trail, those about the send."""


class Deed(NamedTuple):
    """Something that happened to a bulk send as a whole; `by` is empty for what happened by itself."""

    at: datetime
    what: str
    by: str
    reason: str
    messages: int | None


async def deeds(connection: AsyncConnection, bulk_id: str, *, limit: int = 50) -> list[Deed]:
    """The newest first: orders out of the audit trail, and events that are about it as a whole."""
    found = [*await _orders(connection, bulk_id, limit), *await _events(connection, bulk_id, limit)]
    return sorted(found, key=lambda deed: deed.at, reverse=True)[:limit]


async def _orders(connection: AsyncConnection, bulk_id: str, limit: int) -> list[Deed]:
    latest = select(_AUDIT.id).order_by(_AUDIT.id.desc()).limit(_LOOKED_AT)
    query = select(_AUDIT.at, _AUDIT.action, _AUDIT.by, _AUDIT.reason, _AUDIT.count)
    query = query.where(_AUDIT.id.in_(latest), _AUDIT.target == bulk_id)
    rows = await connection.execute(query.order_by(_AUDIT.id.desc()).limit(limit))
    return [Deed(*row) for row in rows]


async def _events(connection: AsyncConnection, bulk_id: str, limit: int) -> list[Deed]:
    # `seq = 0` in its words, so that the index of the few events that are about no message is used.
    query = select(_EVENT.at, _EVENT.type, _EVENT.reason).where(text("seq = 0"), _EVENT.bulk_id == bulk_id)
    query = query.where(_EVENT.type.in_(_OF_THE_WHOLE))  # of each hard bounce there is one about its address
    rows = await connection.execute(query.order_by(_EVENT.at.desc()).limit(limit))
    return [Deed(at, kind, "", reason, None) for at, kind, reason in rows]


async def planned_lanes(connection: AsyncConnection, bulk_id: str) -> list[tuple[str, int]]:
    """How its messages fall into lanes, by its plan; the largest first, none before it is planned."""
    n = func.sum(_BATCH.messages)
    query = select(_BATCH.lane, n).where(_BATCH.bulk_id == bulk_id, _BATCH.round == 0)
    rows = await connection.execute(query.group_by(_BATCH.lane).order_by(n.desc(), _BATCH.lane))
    return [(lane, int(count)) for lane, count in rows]
