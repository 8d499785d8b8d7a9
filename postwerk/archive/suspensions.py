"""Suspensions: who made and ended them, and which are in force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, not_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.ids import new_id
from postwerk.archive.tables import SuspensionRow
from postwerk.errors import NotFound
from postwerk.rules.suspending import Suspended, SuspensionKind, Suspensions

_TABLE = SQLModel.metadata.tables[SuspensionRow.__tablename__]
_ROW = _TABLE.c


@dataclass(frozen=True, slots=True)
class Suspension:
    """A destination that gets no mail until `until`, unless somebody ended that before."""

    id: str
    kind: SuspensionKind
    name: str
    reason: str
    by: str
    created_at: datetime
    until: datetime
    ended_at: datetime | None
    ended_by: str

    def is_active(self, now: datetime) -> bool:
        return self.ended_at is None and self.until > now

    @property
    def destination(self) -> Suspended:
        return Suspended(self.kind, self.name, self.until, self.reason, self.by)


_COLUMNS = [_ROW[name] for name in Suspension.__slots__]


async def suspend(
    connection: AsyncConnection,
    kind: SuspensionKind,
    name: str,
    *,
    until: datetime,
    reason: str,
    actor: Actor,
    now: datetime,
) -> Suspension:
    """From the commit on workers stop within two seconds. `name`: a domain in normal form, or a lane."""
    made = Suspension(new_id("sus"), kind, name, reason, actor.by, now, until, None, "")
    values = {column: getattr(made, column) for column in Suspension.__slots__}
    await connection.execute(insert(_TABLE).values(values))
    await _tell_audit(connection, actor, "suspension.create", made, now)
    return made


async def end_suspension(
    connection: AsyncConnection, suspension_id: str, actor: Actor, now: datetime
) -> tuple[Suspension, bool]:
    """End it before its time, and whether it was still in force. Raises NotFound."""
    ended = await connection.execute(
        update(_TABLE).where(_ROW.id == suspension_id, _in_force(now)).values(ended_at=now, ended_by=actor.by)
    )
    found = await suspension(connection, suspension_id)
    if ended.rowcount:
        await _tell_audit(connection, actor, "suspension.end", found, now)
    return found, bool(ended.rowcount)


async def suspension(connection: AsyncConnection, suspension_id: str) -> Suspension:
    """Raises NotFound."""
    row = (await connection.execute(select(*_COLUMNS).where(_ROW.id == suspension_id))).one_or_none()
    if row is None:
        raise NotFound("There is no suspension with this id.")
    return _suspension(row)


async def suspensions(
    connection: AsyncConnection,
    now: datetime,
    *,
    active: bool | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[Suspension]:
    """The newest first; `active`: in force or not. `after` is the id of the last one seen."""
    query = select(*_COLUMNS).order_by(_ROW.id.desc()).limit(limit)
    if active is not None:
        query = query.where(_in_force(now) if active else not_(_in_force(now)))
    if after is not None:
        query = query.where(_ROW.id < after)
    return [_suspension(row) for row in await connection.execute(query)]


async def ended_by_hand(connection: AsyncConnection, since: datetime, until: datetime) -> list[Suspension]:
    """Those that were ended before their time, from `since` to before `until`."""
    query = select(*_COLUMNS).where(_ROW.ended_at >= since, _ROW.ended_at < until).order_by(_ROW.id)
    return [_suspension(row) for row in await connection.execute(query)]


async def suspensions_in_force(connection: AsyncConnection, now: datetime) -> Suspensions:
    """What workers mind."""
    query = select(_ROW.kind, _ROW.name, _ROW.until, _ROW.reason, _ROW.by).where(_in_force(now))
    return Suspensions(
        Suspended(SuspensionKind(kind), name, until, reason, by)
        for kind, name, until, reason, by in await connection.execute(query)
    )


def _in_force(now: datetime) -> ColumnElement[bool]:
    return and_(_ROW.until > now, _ROW.ended_at.is_(None))


def _suspension(row: Any) -> Suspension:
    found = Suspension(**row._mapping)
    return replace(found, kind=SuspensionKind(found.kind))


async def _tell_audit(
    connection: AsyncConnection, actor: Actor, action: str, one: Suspension, now: datetime
) -> None:
    await write_audit(
        connection,
        actor,
        action,
        at=now,
        target=one.name,
        reason=one.reason,
        details={"suspension": one.id, "kind": one.kind.value, "until": one.until.isoformat()},
    )
