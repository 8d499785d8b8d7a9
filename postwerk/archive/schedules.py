"""Schedules: the rows that say what is sent again and again. What Temporal keeps is made after them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.columns import to_microseconds
from postwerk.archive.sender_tables import ScheduleRow
from postwerk.contracts.content import Content
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.schedules import ScheduleSpec, ScheduleState
from postwerk.contracts.states import SendKind
from postwerk.errors import NotFound

_TABLES = SQLModel.metadata.tables
_TABLE = _TABLES[ScheduleRow.__tablename__]
_ROW, _BULK, _CONTENT = _TABLE.c, _TABLES["bulk_send"].c, _TABLES["content"].c
_TOLD = text("UPDATE schedule SET told = :changes WHERE id = :id AND changes = :changes")
# So that it is erased an hour after it came out of use: until then a send may be being made of it.
_RETIRE = text("UPDATE bulk_send SET created_at = :now WHERE id = :model_id AND kind = 'model'")
_UNUSED = text("""
    SELECT id FROM bulk_send WHERE kind = 'model' AND state = 'open' AND created_at < :before
        AND NOT EXISTS (
            SELECT 1 FROM schedule WHERE schedule.model_id = bulk_send.id AND schedule.state <> 'deleted'
        )
""")
_GIVE_UP = text("UPDATE bulk_send SET state = 'storing' WHERE id = :id AND kind = 'model' AND state = 'open'")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands."""

    id: str
    name: str
    owner: str
    spec: ScheduleSpec
    model_id: str
    state: ScheduleState
    reason: str
    created_at: datetime
    changed_at: datetime | None
    last_at: datetime | None
    last_bulk_id: str
    changes: int
    told: int

    @property
    def is_told(self) -> bool:
        """Whether Temporal knows all of it."""
        return self.told == self.changes


class Model(NamedTuple):
    """What a schedule sends."""

    content: Content
    options: BulkOptions
    name: str
    recipients: int


_COLUMNS = [_ROW[name] for name in Schedule.__slots__]


async def create_schedule(connection: AsyncConnection, made: Schedule) -> None:
    values = {name: getattr(made, name) for name in Schedule.__slots__}
    values |= {"spec": made.spec.model_dump(mode="json"), "state": made.state.value}
    await connection.execute(insert(_TABLE).values(values))


async def schedule(connection: AsyncConnection, schedule_id: str, *, deleted: bool = False) -> Schedule:
    """Raises NotFound; a deleted one is not there unless it is asked for."""
    found = await connection.execute(select(*_COLUMNS).where(_ROW.id == schedule_id))
    row = found.one_or_none()
    if row is None or (row.state == ScheduleState.DELETED.value and not deleted):
        raise NotFound("There is no schedule with this id.")
    return _schedule(row)


async def schedules(
    connection: AsyncConnection, *, limit: int = 50, after: str | None = None
) -> list[Schedule]:
    """The newest first; `after` is the id of the last one seen."""
    query = select(*_COLUMNS).where(_ROW.state != ScheduleState.DELETED.value)
    if after:
        query = query.where(_ROW.id < after)
    return [_schedule(row) for row in await connection.execute(query.order_by(_ROW.id.desc()).limit(limit))]


async def change_schedule(
    connection: AsyncConnection, schedule_id: str, now: datetime, **values: Any
) -> Schedule:
    """Write it down, for Temporal to be told. Raises NotFound."""
    if "spec" in values:
        values["spec"] = values["spec"].model_dump(mode="json")
    before = await schedule(connection, schedule_id)
    await connection.execute(
        update(_TABLE)
        .where(_ROW.id == schedule_id)
        .values(changes=_ROW.changes + 1, changed_at=now, **values)
    )
    after = await schedule(connection, schedule_id, deleted=True)
    if after.model_id != before.model_id or after.state is ScheduleState.DELETED:
        await connection.execute(_RETIRE, {"model_id": before.model_id, "now": to_microseconds(now)})
    return after


async def note_told(connection: AsyncConnection, told: Schedule) -> bool:
    """Temporal knows it as it was then; False when it has changed since."""
    done = await connection.execute(_TOLD, {"id": told.id, "changes": told.changes})
    return done.rowcount == 1


async def schedules_to_tell(connection: AsyncConnection, before: datetime, *, all_of_them: bool) -> list[str]:
    """Those that Temporal does not know as they are, changed before that moment; or all that are in use."""
    is_news = (_ROW.told != _ROW.changes) & (func.coalesce(_ROW.changed_at, _ROW.created_at) < before)
    in_use = _ROW.state != ScheduleState.DELETED.value
    query = select(_ROW.id).where(is_news | in_use if all_of_them else is_news)
    return list((await connection.execute(query.order_by(_ROW.id))).scalars())


async def model_of(connection: AsyncConnection, found: Schedule) -> Model:
    """What it sends. Raises NotFound."""
    query = (
        select(_CONTENT.document, _BULK.options, _BULK.name, _BULK.accepted)
        .join(_TABLES["bulk_send"], _BULK.content_id == _CONTENT.id)
        .where(_BULK.id == found.model_id, _BULK.kind == SendKind.MODEL.value)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound("What this schedule sends is not there any more.")
    document, options, name, accepted = row
    return Model(Content.model_validate(document), BulkOptions.model_validate(options), name, accepted)


async def unused_models(connection: AsyncConnection, before: datetime) -> list[str]:
    """The models that no schedule uses since then."""
    return list((await connection.execute(_UNUSED, {"before": to_microseconds(before)})).scalars())


async def give_up_model(connection: AsyncConnection, model_id: str) -> None:
    """It is erased like a send whose storing was broken off."""
    await connection.execute(_GIVE_UP, {"id": model_id})


def _schedule(row: Row[*tuple[Any, ...]]) -> Schedule:
    values = dict(row._mapping)
    values["spec"] = ScheduleSpec.model_validate(values["spec"])
    values["state"] = ScheduleState(values["state"])
    return Schedule(**values)
