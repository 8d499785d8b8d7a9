"""What messages tell of operators' work on them: who did what, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.tables import OperationRow
from postwerk.contracts.queue import Verb

_OPERATION = SQLModel.metadata.tables[OperationRow.__tablename__].c


@dataclass(frozen=True, slots=True)
class OperationNote:
    """An operation, as a message names it."""

    id: str
    verb: Verb
    by: str
    reason: str
    at: datetime


async def operation_notes(connection: AsyncConnection, ids: Collection[str]) -> dict[str, OperationNote]:
    """Those of these ids that are there."""
    if not ids:
        return {}
    query = select(_OPERATION.id, _OPERATION.verb, _OPERATION.by, _OPERATION.reason, _OPERATION.created_at)
    rows = await connection.execute(query.where(_OPERATION.id.in_(sorted(ids))))
    return {row.id: OperationNote(row.id, Verb(row.verb), row.by, row.reason, row.created_at) for row in rows}
