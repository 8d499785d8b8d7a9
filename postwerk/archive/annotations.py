"""What explains a curve: orders of operators, and rests of lanes."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.outbox_tables import EventRow
from postwerk.archive.tables import AuditRow
from postwerk.contracts.events import EventType

_TABLES = SQLModel.metadata.tables
_EVENT, _AUDIT = _TABLES[EventRow.__tablename__].c, _TABLES[AuditRow.__tablename__].c
_ANNOTATING = ("bulk.pause", "bulk.resume", "bulk.change", "bulk.cancel", "lane.set", "relay.set")
_LOOKED_AT = 300
"""So many entries of the audit trail, and so many rests of lanes, at most: a chart shows no more."""


class Annotation(NamedTuple):
    """Something that explains a curve."""

    at: datetime
    what: str
    """An action of the audit trail, or a type of event."""
    target: str
    by: str
    reason: str
    changed: tuple[str, ...] = ()
    """Names of the fields it changed."""


async def annotations_since(connection: AsyncConnection, since: datetime) -> list[Annotation]:
    """Orders of operators and rests of lanes, the oldest first; of very many only the latest."""
    found = [*await _orders(connection, since), *await _rests(connection, since)]
    return sorted(found, key=lambda annotation: annotation.at)


async def _orders(connection: AsyncConnection, since: datetime) -> list[Annotation]:
    latest = select(_AUDIT.id).order_by(_AUDIT.id.desc()).limit(_LOOKED_AT)
    query = select(_AUDIT.at, _AUDIT.action, _AUDIT.target, _AUDIT.by, _AUDIT.reason, _AUDIT.details).where(
        _AUDIT.id.in_(latest), _AUDIT.at >= since, _AUDIT.action.in_(_ANNOTATING)
    )
    return [
        Annotation(at, action, target, by, reason, tuple(details or ()))
        for at, action, target, by, reason, details in await connection.execute(query)
    ]


async def _rests(connection: AsyncConnection, since: datetime) -> list[Annotation]:
    # `seq = 0` in its words, so that the index of the few events that are about no message is used.
    query = (
        select(_EVENT.at, _EVENT.type, _EVENT.name, _EVENT.reason)
        .where(text("seq = 0"), _EVENT.at >= since, _EVENT.type == EventType.LANE_COOLING.value)
        .order_by(_EVENT.at.desc())
        .limit(_LOOKED_AT)
    )
    return [
        Annotation(at, kind, name, "", reason) for at, kind, name, reason in await connection.execute(query)
    ]
