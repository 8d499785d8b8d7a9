"""An operator's filter as SQL: which bulk sends come into question, and which of their messages are meant.

Everything is asked send by send, each in the order of seq: pages go on behind the last one seen, and the
counters say beforehand which states are worth a look.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.queue_conditions import MESSAGE, indexed_by, message_conditions, ways_to
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import OPEN_STATES, BulkState, MessageState

UNDER_WAY = (
    BulkState.SCHEDULED,
    BulkState.QUEUED,
    BulkState.RUNNING,
    BulkState.PAUSED,
    BulkState.CANCELLING,
)
"""Accepted and not ended: their messages are the queue."""

_TABLES = SQLModel.metadata.tables
BULK, _COUNTER = _TABLES["bulk_send"].c, _TABLES["counter"].c


@dataclass(frozen=True, slots=True)
class SendInQuestion:
    """A bulk send whose messages may be meant."""

    id: str
    name: str
    state: BulkState
    accepted_at: datetime | None
    deadline: datetime | None
    held_at: datetime | None
    counts: Mapping[MessageState, int] = field(default_factory=dict)
    last_seq: int = 0

    def has_any(self, states: Collection[MessageState]) -> bool:
        return any(self.counts.get(state, 0) > 0 for state in states)


def states_meant(wanted: QueueFilter) -> frozenset[MessageState]:
    return frozenset(wanted.state) or OPEN_STATES


async def sends_in_question(
    connection: AsyncConnection,
    wanted: QueueFilter,
    now: datetime,
    *,
    states: Sequence[BulkState] = UNDER_WAY,
    after: str = "",
) -> list[SendInQuestion]:
    """The sends that have messages in the states meant, oldest first; `after` is the last one done with."""
    query = select(
        BULK.id, BULK.name, BULK.state, BULK.accepted_at, BULK.deadline, BULK.held_at, BULK.next_seq
    )
    query = query.where(BULK.state.in_([state.value for state in states]), BULK.accepted_at.is_not(None))
    query = query.where(*_send_conditions(wanted, now)).order_by(BULK.id)
    if after:
        query = query.where(BULK.id >= after)
    rows = (await connection.execute(query)).all()
    counts = await _counts(connection, [row.id for row in rows])
    found = [
        SendInQuestion(
            row.id,
            row.name,
            BulkState(row.state),
            row.accepted_at,
            row.deadline,
            row.held_at,
            counts.get(row.id, {}),
            row.next_seq - 1,
        )
        for row in rows
    ]
    return [send for send in found if send.has_any(states_meant(wanted))]


def _send_conditions(wanted: QueueFilter, now: datetime) -> Iterator[ColumnElement[bool]]:
    if named := _sends_named(wanted):
        yield BULK.id.in_(sorted(named))
    if wanted.older_than is not None:
        yield BULK.accepted_at <= now - wanted.older_than
    if wanted.younger_than is not None:
        yield BULK.accepted_at > now - wanted.younger_than


def _sends_named(wanted: QueueFilter) -> set[str]:
    """By id or by their messages; nothing: any. Named both ways, only those in both (or one that is not)."""
    of_ids = {one.partition(".")[0] for one in wanted.ids}
    if of_ids and wanted.bulk:
        return (of_ids & set(wanted.bulk)) or {""}
    return of_ids or set(wanted.bulk)


_AT_ONCE = 500


async def _counts(connection: AsyncConnection, bulk_ids: Sequence[str]) -> dict[str, dict[MessageState, int]]:
    found: dict[str, dict[MessageState, int]] = {}
    for start in range(0, len(bulk_ids), _AT_ONCE):
        query = (
            select(_COUNTER.bulk_id, _COUNTER.state, func.sum(_COUNTER.n))
            .where(_COUNTER.bulk_id.in_(bulk_ids[start : start + _AT_ONCE]))
            .group_by(_COUNTER.bulk_id, _COUNTER.state)
        )
        for bulk_id, state, n in await connection.execute(query):
            found.setdefault(bulk_id, {})[MessageState(state)] = int(n)
    return found


def messages_meant(
    columns: Sequence[Any],
    send: SendInQuestion,
    wanted: QueueFilter,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int,
) -> Select[Any] | None:
    """The next messages of the send behind `after`, by seq; None when the counters say there are none.

    `columns` of MESSAGE, its seq among them. `before`: only messages in front of this one, which bounds what
    is looked at when next to none of them are meant.
    """
    place = [MESSAGE.bulk_id == send.id, MESSAGE.seq > after, *message_conditions(wanted, send.id)]
    if before is not None:
        place.append(MESSAGE.seq < before)
    ways = ways_to(wanted, states_meant(wanted), send.counts, bounded=before is not None)
    parts = [
        indexed_by(select(*columns).where(*place, *way.conditions), way.index)
        .order_by(MESSAGE.seq)
        .limit(limit)
        for way in ways
    ]
    if len(parts) < 2:
        return parts[0] if parts else None
    both = union_all(*[select(part.subquery()) for part in parts]).subquery()
    return select(both).order_by(both.c.seq).limit(limit)
