"""What was tallied since a moment, and what happened meanwhile that explains it. For charts."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.outbox_tables import EventRow, TallyRow
from postwerk.archive.tables import AuditRow
from postwerk.contracts.events import EventType
from postwerk.rules.curves import Tallied

_TABLES = SQLModel.metadata.tables
_TALLY, _EVENT = _TABLES[TallyRow.__tablename__].c, _TABLES[EventRow.__tablename__].c
_AUDIT = _TABLES[AuditRow.__tablename__].c
_MARKED = ("bulk.pause", "bulk.resume", "bulk.change", "bulk.cancel", "lane.set", "relay.set")
_LOOKED_AT = 300
"""So many entries of the audit trail, and so many rests of lanes, at most: a chart shows no more."""


class Mark(NamedTuple):
    """Something that explains a curve."""

    at: datetime
    what: str
    """An action of the audit trail, or a type of event."""
    target: str
    by: str
    reason: str
    changed: tuple[str, ...] = ()
    """Names of the fields it changed."""


async def tallies_since(connection: AsyncConnection, since: datetime) -> list[Tallied]:
    """All that was tallied since then, by lane and kind, in no order."""
    query = (
        select(_TALLY.at, _TALLY.lane, _TALLY.kind, func.sum(_TALLY.n))
        .where(_TALLY.at >= since)
        .group_by(_TALLY.at, _TALLY.lane, _TALLY.kind)
    )
    return [Tallied(at, lane, kind, int(n)) for at, lane, kind, n in await connection.execute(query)]


async def totals_since(connection: AsyncConnection, since: datetime, until: datetime) -> list[Tallied]:
    """All that was tallied from `since` to before `until`, of all lanes together."""
    query = (
        select(_TALLY.at, _TALLY.kind, func.sum(_TALLY.n))
        .where(_TALLY.at >= since, _TALLY.at < until)
        .group_by(_TALLY.at, _TALLY.kind)
    )
    return [Tallied(at, "", kind, int(n)) for at, kind, n in await connection.execute(query)]


async def marks_since(connection: AsyncConnection, since: datetime) -> list[Mark]:
    """Orders of operators and rests of lanes, the oldest first; of very many only the latest."""
    found = [*await _orders(connection, since), *await _rests(connection, since)]
    return sorted(found, key=lambda mark: mark.at)


async def _orders(connection: AsyncConnection, since: datetime) -> list[Mark]:
    latest = select(_AUDIT.id).order_by(_AUDIT.id.desc()).limit(_LOOKED_AT)
    query = select(_AUDIT.at, _AUDIT.action, _AUDIT.target, _AUDIT.by, _AUDIT.reason, _AUDIT.details).where(
        _AUDIT.id.in_(latest), _AUDIT.at >= since, _AUDIT.action.in_(_MARKED)
    )
    return [
        Mark(at, action, target, by, reason, tuple(details or ()))
        for at, action, target, by, reason, details in await connection.execute(query)
    ]


async def _rests(connection: AsyncConnection, since: datetime) -> list[Mark]:
    # `seq = 0` in its words, so that the index of the few events that are about no message is used.
    query = (
        select(_EVENT.at, _EVENT.type, _EVENT.name, _EVENT.reason)
        .where(text("seq = 0"), _EVENT.at >= since, _EVENT.type == EventType.LANE_COOLING.value)
        .order_by(_EVENT.at.desc())
        .limit(_LOOKED_AT)
    )
    return [Mark(at, kind, name, "", reason) for at, kind, name, reason in await connection.execute(query)]
