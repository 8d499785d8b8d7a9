"""Making a bulk send of a schedule's model: once for each of its times, in commits of 2,000 recipients."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.bulks import ROWS_PER_COMMIT
from postwerk.archive.columns import to_microseconds
from postwerk.archive.counters import add_to_counters
from postwerk.archive.engine import Archive
from postwerk.archive.ids import bulk_id_at
from postwerk.archive.intake import INTAKE_SHARD, queue_bulk_send
from postwerk.archive.schedules import schedule
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.queue import NextRun
from postwerk.contracts.schedules import Firing, ModelCopy, ScheduleState
from postwerk.contracts.states import BulkState, MessageState
from postwerk.errors import NotFound
from postwerk.rules.shown_names import shown_name
from postwerk.rules.starting import start_order

_BEGIN = text("""
    INSERT INTO bulk_send (id, name, state, reason, content_id, options, metadata, created_at, next_seq,
        accepted, rejected, duplicates, config_errors, notice_of, kind, owner)
    SELECT :bulk_id, name, 'storing', '', content_id, options, metadata, :now, 1,
        0, 0, 0, 0, '', 'bulk', owner
    FROM bulk_send WHERE id = :model_id AND kind = 'model' AND state = 'open'
    ON CONFLICT (id) DO NOTHING
""")
_LAST_SEQ = text(
    "SELECT next_seq - 1 FROM bulk_send WHERE id = :model_id AND kind = 'model' AND state = 'open'"
)
_STANDING = text("SELECT state, next_seq, accepted, options, name FROM bulk_send WHERE id = :bulk_id")
_COPY = text("""
    INSERT INTO message (bulk_id, seq, address, name, variables, metadata, lane, state, attempts, deferrals,
        possible_duplicate)
    SELECT :bulk_id, seq, address, name, variables, metadata, lane, 'queued', 0, 0, false
    FROM message WHERE bulk_id = :model_id AND seq BETWEEN :first AND :last
    ON CONFLICT DO NOTHING
""")
# Whoever was thought dead and is not may be at it too: what is there is not counted twice.
_GROWN = text("""
    UPDATE bulk_send SET accepted = accepted + :n,
        next_seq = CASE WHEN next_seq < :next THEN :next ELSE next_seq END
    WHERE id = :bulk_id AND state = 'storing'
""")
_LAST_MADE = text("""
    UPDATE schedule SET last_at = :at, last_bulk_id = :bulk_id
    WHERE id = :schedule_id AND COALESCE(last_at, 0) <= :at
""")


class _Standing(NamedTuple):
    state: BulkState
    next_seq: int
    accepted: int
    options: BulkOptions
    name: str


async def model_to_copy(connection: AsyncConnection, firing: Firing) -> ModelCopy | None:
    """What is made of which model at this time; None when the schedule is paused or deleted by now."""
    try:
        found = await schedule(connection, firing.schedule_id)
    except NotFound:
        return None
    if found.state is not ScheduleState.ACTIVE and not firing.by_hand:
        return None
    return ModelCopy(
        schedule_id=found.id,
        at=firing.at,
        bulk_id=bulk_id_at(firing.at, found.id),
        model_id=found.model_id,
    )


async def copy_model(archive: Archive, copy: ModelCopy, now: datetime) -> NextRun:
    """The bulk send, queued; asked again it goes on where it was. Raises NotFound: there is no such model."""
    async with archive.writing() as connection:
        where = {"bulk_id": copy.bulk_id, "model_id": copy.model_id, "now": to_microseconds(now)}
        await connection.execute(_BEGIN, where)
    async with archive.reading() as connection:
        standing = await _standing(connection, copy)
        last = (await connection.execute(_LAST_SEQ, {"model_id": copy.model_id})).scalar_one_or_none()
    if standing.state is BulkState.STORING:
        if last is None:
            raise NotFound("What this schedule sends is not there any more.")
        for first in range(standing.next_seq, last + 1, ROWS_PER_COMMIT):
            await _copy_some(archive, copy, first, min(first + ROWS_PER_COMMIT - 1, last))
        standing = await _queued(archive, copy, now)
    order = start_order(copy.bulk_id, standing.accepted, standing.options, None)
    return NextRun(order=order, name=shown_name(standing.name))


async def _copy_some(archive: Archive, copy: ModelCopy, first: int, last: int) -> None:
    which = {"bulk_id": copy.bulk_id, "model_id": copy.model_id, "first": first, "last": last}
    async with archive.writing() as connection:
        n = (await connection.execute(_COPY, which)).rowcount
        where = {"bulk_id": copy.bulk_id, "n": n, "next": last + 1}
        if (await connection.execute(_GROWN, where)).rowcount:
            await add_to_counters(connection, {(copy.bulk_id, MessageState.QUEUED): n}, INTAKE_SHARD)


async def _queued(archive: Archive, copy: ModelCopy, now: datetime) -> _Standing:
    async with archive.writing() as connection:
        before = await _standing(connection, copy)
        await queue_bulk_send(connection, copy.bulk_id, now, before.options)
        made = {"schedule_id": copy.schedule_id, "bulk_id": copy.bulk_id, "at": to_microseconds(copy.at)}
        await connection.execute(_LAST_MADE, made)
        return await _standing(connection, copy)


async def _standing(connection: AsyncConnection, copy: ModelCopy) -> _Standing:
    row = (await connection.execute(_STANDING, {"bulk_id": copy.bulk_id})).one_or_none()
    if row is None:
        raise NotFound("What this schedule sends is not there any more.")
    options = BulkOptions.model_validate_json(row.options)
    return _Standing(BulkState(row.state), row.next_seq, row.accepted, options, row.name)
