"""The audit trail: who did what, when and why. Written in the transaction that does it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.ids import new_id
from postwerk.archive.tables import AuditRow, OperationRow

_AUDIT = SQLModel.metadata.tables[AuditRow.__tablename__].c
_OPERATION = SQLModel.metadata.tables[OperationRow.__tablename__].c


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts (a person's name, or "api"), and through which door."""

    by: str = "api"
    via: str = "api"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing done. `action` as "queue.hold"; `target`: what it was done to, if it is one thing."""

    id: str
    at: datetime
    by: str
    via: str
    action: str
    target: str
    filter: dict[str, Any] | None
    reason: str
    count: int | None
    operation: str | None
    details: dict[str, Any] | None


async def write_audit(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    *,
    at: datetime,
    target: str = "",
    meant: dict[str, Any] | None = None,
    reason: str = "",
    count: int | None = None,
    operation: str | None = None,
    details: dict[str, Any] | None = None,
) -> str:
    """Add an entry; `meant` is the filter it was done by. In the writing transaction of the deed itself.

    Answers its id.
    """
    entry_id = new_id("aud")
    await connection.execute(
        insert(AuditRow).values(
            id=entry_id,
            at=at,
            by=actor.by,
            via=actor.via,
            action=action,
            target=target,
            filter=meant,
            reason=reason,
            count=count,
            operation=operation,
            details=details,
        )
    )
    return entry_id


async def count_more(connection: AsyncConnection, entry_id: str, more: int) -> None:
    """The deed goes on, in another transaction: a list that is stored part by part is one deed."""
    await connection.execute(
        update(AuditRow).where(_AUDIT.id == entry_id).values(count=func.coalesce(_AUDIT.count, 0) + more)
    )


async def audit_entries(
    connection: AsyncConnection,
    *,
    action: str | None = None,
    by: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[AuditEntry]:
    """The newest first; `after` is the id of the last one seen."""
    columns = [_AUDIT[name] for name in AuditEntry.__slots__ if name != "count"]
    # What an operation came to is known at its end; the entry was written at its beginning.
    count = func.coalesce(_AUDIT.count, _OPERATION.changed).label("count")
    query = select(*columns, count).order_by(_AUDIT.id.desc()).limit(limit)
    query = query.join_from(AuditRow, OperationRow, _AUDIT.operation == _OPERATION.id, isouter=True)
    if action is not None:
        query = query.where(_AUDIT.action == action)
    if by is not None:
        query = query.where(_AUDIT.by == by)
    if after is not None:
        query = query.where(_AUDIT.id < after)
    return [AuditEntry(**row._mapping) for row in await connection.execute(query)]
