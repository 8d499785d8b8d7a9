"""The log of webhooks: each request to a receiver, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.event_cursor import START, Cursor
from postwerk.archive.ids import first_id_at
from postwerk.archive.outbox_tables import WebhookDeliveryRow, WebhookRow
from postwerk.contracts.webhooks import DeliveryKind, DeliveryOutcome, WebhookState
from postwerk.errors import NotFound

_TABLES = SQLModel.metadata.tables
_TABLE = _TABLES[WebhookDeliveryRow.__tablename__]
_ROW = _TABLE.c
_WEBHOOK = _TABLES[WebhookRow.__tablename__]
_CURSORS = ("first_xid", "first_id", "last_xid", "last_id")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request. A test has no events, and no first and last one."""

    id: str
    webhook: str
    message_id: str
    kind: DeliveryKind
    events: int
    at: datetime
    first: Cursor = START
    last: Cursor = START
    attempt: int = 1
    milliseconds: int = 0
    status: int | None = None
    outcome: DeliveryOutcome = DeliveryOutcome.SENDING
    detail: str = ""
    next_at: datetime | None = None


def write_deliveries(connection: Connection, rows: list[Delivery]) -> None:
    """Add what is new, and say what came of those that were `sending`."""
    if rows:
        ids = [row.id for row in rows]
        connection.execute(delete(_TABLE).where(_ROW.id.in_(ids)))
        connection.execute(insert(_TABLE), [_values(row) for row in rows])


def give_up_now(connection: Connection, webhook_id: str, reason: str, now: datetime) -> None:
    """It is told of nothing any more until somebody enables it. Its cursor stays: no event is lost."""
    row = _WEBHOOK.c
    connection.execute(
        update(_WEBHOOK)
        .where(row.id == webhook_id, row.state == WebhookState.ENABLED.value)
        .values(state=WebhookState.GONE.value, reason=reason, changed_at=now)
    )


def move_cursor_now(connection: Connection, webhook_id: str, before: Cursor, after: Cursor) -> bool:
    """Beside what `write_deliveries` writes; False when somebody else has moved it meanwhile."""
    row = _WEBHOOK.c
    moved = connection.execute(
        update(_WEBHOOK)
        .where(row.id == webhook_id, row.cursor_xid == before.xid, row.cursor_id == before.id)
        .values(cursor_xid=after.xid, cursor_id=after.id)
    )
    return moved.rowcount == 1


async def delivery(connection: AsyncConnection, webhook_id: str, delivery_id: str) -> Delivery:
    """Raises NotFound."""
    query = select(_TABLE).where(_ROW.id == delivery_id, _ROW.webhook == webhook_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound("There is no delivery with this id.")
    return _delivery(row)


async def deliveries(
    connection: AsyncConnection,
    webhook_id: str,
    *,
    outcome: DeliveryOutcome | None = None,
    limit: int = 50,
    after: str | None = None,
) -> list[Delivery]:
    """The newest first; `after` is the id of the last one seen."""
    query = select(_TABLE).where(_ROW.webhook == webhook_id).order_by(_ROW.id.desc()).limit(limit)
    if outcome is not None:
        query = query.where(_ROW.outcome == outcome.value)
    if after:
        query = query.where(_ROW.id < after)
    return [_delivery(row) for row in await connection.execute(query)]


async def unfinished(connection: AsyncConnection, webhook_id: str, cursor: Cursor) -> Delivery | None:
    """The last request with events from behind the cursor, if any: its receiver has not taken it."""
    query = (
        select(_TABLE)
        .where(_ROW.webhook == webhook_id, _ROW.kind == DeliveryKind.EVENTS.value)
        .order_by(_ROW.id.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    found = None if row is None else _delivery(row)
    return found if found is not None and found.first > cursor else None


async def begin_afresh(connection: AsyncConnection, webhook_id: str, cursor: Cursor) -> None:
    """Whatever its receiver has not taken is tried as if for the first time."""
    found = await unfinished(connection, webhook_id, cursor)
    if found is not None and found.outcome is DeliveryOutcome.FAILED:
        given_up = {"outcome": DeliveryOutcome.GIVEN_UP.value, "next_at": None}
        await connection.execute(update(_TABLE).where(_ROW.id == found.id).values(given_up))


async def erase_deliveries(
    connection: AsyncConnection, before: datetime, limit: int, outcome: DeliveryOutcome | None = None
) -> int:
    """Those of before that moment, the oldest first; answers how many were erased."""
    old = select(_ROW.id).where(_ROW.id < first_id_at("whd", before)).order_by(_ROW.id).limit(limit)
    if outcome is not None:
        old = old.where(_ROW.outcome == outcome.value)
    return (await connection.execute(delete(_TABLE).where(_ROW.id.in_(old)))).rowcount


def _values(row: Delivery) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in Delivery.__slots__ if name not in ("first", "last")}
    return values | {
        "kind": row.kind.value,
        "outcome": row.outcome.value,
        **dict(zip(_CURSORS, (*row.first, *row.last), strict=True)),
    }


def _delivery(row: Row[*tuple[Any, ...]]) -> Delivery:
    values = dict(row._mapping)
    first_xid, first_id, last_xid, last_id = (values.pop(name) for name in _CURSORS)
    return Delivery(
        **values
        | {
            "first": Cursor(first_xid, first_id),
            "last": Cursor(last_xid, last_id),
            "kind": DeliveryKind(values["kind"]),
            "outcome": DeliveryOutcome(values["outcome"]),
        }
    )
