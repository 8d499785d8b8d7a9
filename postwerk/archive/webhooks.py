"""Webhooks: who wants to be told of which events, where, and how far it has been told."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.columns import from_microseconds
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.outbox_tables import WebhookDeliveryRow, WebhookRow
from postwerk.contracts.webhooks import WebhookState
from postwerk.errors import NotFound

_TABLES = SQLModel.metadata.tables
_TABLE = _TABLES[WebhookRow.__tablename__]
_ROW = _TABLE.c
_DELIVERIES = _TABLES[WebhookDeliveryRow.__tablename__]
_SECRET_OCTETS = 32
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it stands."""

    id: str
    owner: str
    """Whose events; empty: everybody's."""
    url: str
    description: str
    types: tuple[str, ...] | None
    """As they were named; None: all."""
    repeated: bool
    max_events: int
    max_wait: timedelta
    state: WebhookState
    reason: str
    cursor: Cursor
    created_at: datetime
    changed_at: datetime | None
    secret: str = field(repr=False)
    former_secret: str = field(default="", repr=False)
    former_until: datetime | None = None

    @property
    def is_enabled(self) -> bool:
        return self.state is WebhookState.ENABLED

    def secrets(self, now: datetime) -> Sequence[str]:
        """Those that sign at that moment, the newest first."""
        former_signs = self.former_until is not None and self.former_until > now
        return (self.secret, self.former_secret) if former_signs else (self.secret,)


def new_secret() -> str:
    """`whsec_` and 32 random octets (the standard takes 24 to 64)."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_OCTETS)).decode()


async def create_webhook(connection: AsyncConnection, made: Webhook) -> None:
    await connection.execute(insert(_TABLE).values(_values(made)))


async def webhook(connection: AsyncConnection, webhook_id: str) -> Webhook:
    """Raises NotFound."""
    row = (await connection.execute(select(_TABLE).where(_ROW.id == webhook_id))).one_or_none()
    if row is None:
        raise NotFound("There is no webhook with this id.")
    return _webhook(row)


async def webhooks(
    connection: AsyncConnection, *, owner: str | None = None, limit: int = 50, after: str | None = None
) -> list[Webhook]:
    """The newest first; `owner`: only those of its own. `after` is the id of the last one seen."""
    query = select(_TABLE).order_by(_ROW.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(_ROW.owner == owner)
    if after:
        query = query.where(_ROW.id < after)
    return [_webhook(row) for row in await connection.execute(query)]


async def count_webhooks(connection: AsyncConnection, owner: str) -> int:
    """How many an owner has."""
    query = select(func.count()).select_from(_TABLE).where(_ROW.owner == owner)
    return int((await connection.execute(query)).scalar_one())


async def enabled_webhooks(connection: AsyncConnection) -> list[str]:
    """Ids of those that should have a workflow."""
    query = select(_ROW.id).where(_ROW.state == WebhookState.ENABLED.value).order_by(_ROW.id)
    return list((await connection.execute(query)).scalars())


async def last_change(connection: AsyncConnection) -> datetime:
    """When any of them was made or changed last."""
    query = select(func.max(func.coalesce(_ROW.changed_at, _ROW.created_at)))
    found = (await connection.execute(query)).scalar_one_or_none()
    return from_microseconds(0) if found is None else _as_moment(found)


async def change_webhook(
    connection: AsyncConnection, webhook_id: str, now: datetime, **values: Any
) -> Webhook:
    """Set the fields of a Webhook that are named. Raises NotFound."""
    changed = replace(await webhook(connection, webhook_id), changed_at=now, **values)
    kept = _values(changed)
    wanted = {name: kept[name] for name in ("changed_at", *values) if name in kept}
    if "cursor" in values:
        wanted |= {"cursor_xid": changed.cursor.xid, "cursor_id": changed.cursor.id}
    await connection.execute(update(_TABLE).where(_ROW.id == webhook_id).values(wanted))
    return changed


async def rotate_secret(
    connection: AsyncConnection, webhook_id: str, now: datetime, keep_former: timedelta
) -> Webhook:
    """A new secret; the one in use signs as well for a while. Raises NotFound."""
    before = await webhook(connection, webhook_id)
    return await change_webhook(
        connection,
        webhook_id,
        now,
        secret=new_secret(),
        former_secret=before.secret if keep_former else "",
        former_until=now + keep_former if keep_former else None,
    )


async def delete_webhook(connection: AsyncConnection, webhook_id: str) -> None:
    """With its log of requests. Raises NotFound."""
    await webhook(connection, webhook_id)
    await connection.execute(delete(_DELIVERIES).where(_DELIVERIES.c.webhook == webhook_id))
    await connection.execute(delete(_TABLE).where(_ROW.id == webhook_id))


def _values(made: Webhook) -> dict[str, Any]:
    values = {name: getattr(made, name) for name in Webhook.__slots__ if name != "cursor"}
    return values | {
        "types": None if made.types is None else list(made.types),
        "max_wait": made.max_wait // _MICROSECOND,
        "state": made.state.value,
        "cursor_xid": made.cursor.xid,
        "cursor_id": made.cursor.id,
    }


def _webhook(row: Row[*tuple[Any, ...]]) -> Webhook:
    values = dict(row._mapping)
    cursor = Cursor(values.pop("cursor_xid"), values.pop("cursor_id"))
    types = values.pop("types")
    return Webhook(
        **values
        | {
            "cursor": cursor,
            "types": None if types is None else tuple(types),
            "max_wait": timedelta(microseconds=values["max_wait"]),
            "state": WebhookState(values["state"]),
        }
    )


def _as_moment(found: Any) -> datetime:
    return found if isinstance(found, datetime) else from_microseconds(int(found))
