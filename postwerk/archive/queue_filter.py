"""An operator's filter as SQL: which bulk sends come into question, and which of their messages are meant.

Everything is asked send by send, each in the order of seq: pages go on behind the last one seen, and the
counters say beforehand which states are worth a look.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.plan import OTHER_LANE
from postwerk.archive.tables import RARE_STATES
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import OPEN_STATES, BulkState, MessageState
from postwerk.rules.providers import is_provider, lane_of

UNDER_WAY = (BulkState.QUEUED, BulkState.RUNNING, BulkState.PAUSED, BulkState.CANCELLING)
"""Accepted and not ended: their messages are the queue."""
RARE = frozenset({state for state in MessageState if f"'{state.value}'" in RARE_STATES})
FEW = 5
"""Rare states are found by their index where less than a fifth of a send is in them; else by walking."""

_TABLES = SQLModel.metadata.tables
BULK, MESSAGE, _COUNTER = _TABLES["bulk_send"].c, _TABLES["message"].c, _TABLES["counter"].c


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
    query = select(BULK.id, BULK.name, BULK.state, BULK.accepted_at, BULK.deadline, BULK.held_at)
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
    columns: Sequence[Any], send: SendInQuestion, wanted: QueueFilter, *, after: int = 0, limit: int
) -> Select[Any] | None:
    """The next messages of the send behind `after`, by seq; None when the counters say there are none.

    `columns` of MESSAGE, its seq among them. Few messages in rare states are found by their index, all
    others by walking along.
    """
    parts = [
        select(*columns)
        .where(*some, *message_conditions(wanted, send.id), MESSAGE.seq > after)
        .order_by(MESSAGE.seq)
        .limit(limit)
        for some in _walks(send, states_meant(wanted))
    ]
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    both = union_all(*[select(part.subquery()) for part in parts]).subquery()
    return select(both).order_by(both.c.seq).limit(limit)


def _walks(
    send: SendInQuestion, states: frozenset[MessageState]
) -> Iterator[tuple[ColumnElement[bool], ...]]:
    """The ways to all messages of the send in these states: each a set of conditions."""
    there = {state for state in states if send.counts.get(state, 0) > 0}
    rare = there & RARE
    total = sum(send.counts.values())
    if rare and sum(send.counts[state] for state in rare) * FEW < total:
        yield (MESSAGE.bulk_id == send.id, text(RARE_STATES), _in_states(MESSAGE.state, rare))  # type: ignore[misc]
        there -= rare
    if there:
        # The empty string keeps the databases off the index of rare states.
        yield (MESSAGE.bulk_id == send.id, _in_states(MESSAGE.state.concat(""), there))


def _in_states(column: Any, states: Collection[MessageState]) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = column.in_(sorted(state.value for state in states))
    return condition


def message_conditions(wanted: QueueFilter, bulk_id: str) -> list[ColumnElement[bool]]:
    """What is asked of a message besides its state; nothing for a filter that names whole sends."""
    found: list[ColumnElement[bool]] = []
    if wanted.ids:
        seqs = [
            int(seq) for one, _, seq in (public.partition(".") for public in wanted.ids) if one == bulk_id
        ]
        found.append(MESSAGE.seq.in_(seqs))
    if wanted.provider is not None:
        found.append(_of_provider(wanted.provider))
    if wanted.domain is not None:
        found.append(_of_domain(wanted.domain))
    if wanted.recipient is not None:
        found.append(func.lower(MESSAGE.address) == func.lower(wanted.recipient))
    if wanted.code is not None:
        found.append(_with_code(wanted.code))
    if wanted.reason is not None:
        found.append(MESSAGE.last_reason == wanted.reason)
    return found


def _seqs_named(wanted: QueueFilter, bulk_id: str) -> list[int]:
    parts = (public.partition(".") for public in wanted.ids)
    return [int(seq) for one, _, seq in parts if one == bulk_id]


def _of_provider(name: str) -> ColumnElement[bool]:
    """Known ones have their own lane; of others, the few messages of a send are in the lane `other`."""
    if is_provider(name) or name == OTHER_LANE:
        return MESSAGE.lane == name
    return or_(MESSAGE.lane == name, and_(MESSAGE.lane == OTHER_LANE, _ends_in(name)))


def _of_domain(domain: str) -> ColumnElement[bool]:
    return and_(MESSAGE.lane.in_([lane_of(domain), OTHER_LANE]), _ends_in(domain))


def _ends_in(domain: str) -> ColumnElement[bool]:
    return func.lower(MESSAGE.address).endswith(f"@{domain}", autoescape=True)


def _with_code(code: int) -> ColumnElement[bool]:
    if code < 10:
        return MESSAGE.last_code.between(code * 100, code * 100 + 99)
    return MESSAGE.last_code == code
