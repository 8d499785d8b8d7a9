"""What the API and the operator ask: bulk sends, messages, attempts, and whether it all adds up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.sender_tables import CoalescedRow
from postwerk.archive.tables import RARE_STATES
from postwerk.contracts.content import Content, Recipient
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import FINAL_STATES, OPEN_STATES, BulkState, MessageState, SendKind
from postwerk.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class BulkSend:
    """A bulk send as it stands; `counts` has every message state, zeros too."""

    id: str
    name: str
    state: BulkState
    reason: str
    options: BulkOptions
    metadata: Any
    created_at: datetime
    accepted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    accepted: int
    rejected: int
    duplicates: int
    notice_of: str = ""
    """The bulk send that this one tells of."""
    rounds: int = 0
    """How often failed messages of it were started again."""
    carried: int = 0
    """Batches up to this number were carried by runs of its workflow that have ended."""
    held_at: datetime | None = None
    """Paused since."""
    late_bounces: int = 0
    complaints: int = 0
    begins_at: datetime | None = None
    """When one that was to begin later begins, or began."""
    kind: SendKind = SendKind.BULK
    counts: dict[MessageState, int] = field(default_factory=dict)

    @property
    def counts_from(self) -> datetime | None:
        """Its deadline counts from here; None for one that is not accepted yet."""
        return self.begins_at or self.accepted_at

    @property
    def finished(self) -> int:
        return sum(n for state, n in self.counts.items() if state in FINAL_STATES)

    @property
    def open(self) -> int:
        return sum(n for state, n in self.counts.items() if state in OPEN_STATES)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stands, with its last reply."""

    bulk_id: str
    seq: int
    address: str
    name: str
    variables: dict[str, Any]
    metadata: dict[str, Any] | None
    lane: str
    state: MessageState
    attempts: int
    deferrals: int
    next_attempt_at: datetime | None
    changed_at: datetime | None
    possible_duplicate: bool
    last_reason: str | None
    last_stage: str | None
    last_code: int | None
    last_enhanced: str | None
    last_text: str | None
    extra: int = 0
    """Microseconds by which its own deadline lies behind that of its bulk send."""
    time_left: int | None = None
    """While it is held: microseconds left of its deadline; None if its send had not begun then."""
    operation: str | None = None
    """The last operation of an operator on it."""
    late: bool = False
    """It bounced after it had been delivered."""
    complained_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One SMTP transaction of a message."""

    number: int
    started_at: datetime
    milliseconds: int
    outcome: str
    reason: str
    stage: str
    code: int | None
    enhanced: str | None
    text: str
    host: str
    tls: str


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages of a bulk send are asked for; None means any."""

    state: MessageState | None = None
    lane: str | None = None
    q: str | None = None
    """Part of the address, of any case; no wildcards."""


_TABLES = SQLModel.metadata.tables
_BULK, _MESSAGE = _TABLES["bulk_send"].c, _TABLES["message"].c
_COALESCED = _TABLES[CoalescedRow.__tablename__].c
_CONTENT, _COUNTER, _ATTEMPT = _TABLES["content"].c, _TABLES["counter"].c, _TABLES["attempt"].c
_SELECT_BULK_SEND = select(
    _BULK.id,
    _BULK.name,
    _BULK.state,
    _BULK.reason,
    _BULK.options,
    _BULK["metadata"],
    _BULK.created_at,
    _BULK.accepted_at,
    _BULK.started_at,
    _BULK.finished_at,
    _BULK.deadline,
    _BULK.accepted,
    _BULK.rejected,
    _BULK.duplicates,
    _BULK.notice_of,
    _BULK.rounds,
    _BULK.carried,
    _BULK.held_at,
    _BULK.late_bounces,
    _BULK.complaints,
    _BULK.begins_at,
    _BULK.kind,
).where(_BULK.state != BulkState.STORING.value, _BULK.kind != SendKind.MODEL.value)
MESSAGE_COLUMNS = tuple(_MESSAGE[name] for name in Message.__slots__)
_SELECT_MESSAGE = select(*MESSAGE_COLUMNS)


async def bulk_send(connection: AsyncConnection, bulk_id: str) -> BulkSend:
    """The bulk send as callers see it. Raises NotFound; one that is still being written is not there yet."""
    found = await connection.execute(_SELECT_BULK_SEND.where(_BULK.id == bulk_id))
    row = found.one_or_none()
    if row is None:
        raise NotFound("There is no bulk send with this id.")
    counts = await _counts_by_bulk_send(connection, [bulk_id])
    return _bulk_send(row, counts.get(bulk_id, {}))


async def bulk_sends(
    connection: AsyncConnection,
    *,
    states: Sequence[BulkState] = (),
    kinds: Sequence[SendKind] = (),
    owner: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> list[BulkSend]:
    """The newest first, of one `owner` or of all; `after` is the id of the last one seen (ids are in order
    of time)."""
    query = _SELECT_BULK_SEND.order_by(_BULK.id.desc()).limit(limit)
    if states:
        query = query.where(_BULK.state.in_([state.value for state in states]))
    if kinds:
        query = query.where(_BULK.kind.in_([kind.value for kind in kinds]))
    if owner is not None:
        query = query.where(_BULK.owner == owner)
    if after:
        query = query.where(_BULK.id < after)
    rows = (await connection.execute(query)).all()
    counts = await _counts_by_bulk_send(connection, [row.id for row in rows])
    return [_bulk_send(row, counts.get(row.id, {})) for row in rows]


async def are_all_of(connection: AsyncConnection, owner: str, ids: Collection[str]) -> bool:
    """Whether every one of these bulk sends is there and belongs to `owner`."""
    query = select(func.count()).where(
        _BULK.id.in_(sorted(set(ids))), _BULK.owner == owner, _BULK.state != BulkState.STORING.value
    )
    return (await connection.execute(query)).scalar_one() == len(set(ids))


async def bulk_sends_named(connection: AsyncConnection, ids: Collection[str]) -> dict[str, BulkSend]:
    """Those of these ids that are there."""
    rows = (await connection.execute(_SELECT_BULK_SEND.where(_BULK.id.in_(sorted(ids))))).all()
    counts = await _counts_by_bulk_send(connection, [row.id for row in rows])
    return {row.id: _bulk_send(row, counts.get(row.id, {})) for row in rows}


async def bulk_sends_not_started(connection: AsyncConnection, accepted_before: datetime) -> list[str]:
    """Queued, and no workflow has begun with them yet. Not those that wait for others of their key."""
    query = select(_BULK.id).where(_BULK.state == BulkState.QUEUED.value, _BULK.accepted_at < accepted_before)
    waits = (_COALESCED.bulk_id == _BULK.id) & (_COALESCED.state == "waiting")
    query = query.where(~select(_COALESCED.bulk_id).where(waits).exists())
    return list((await connection.execute(query.order_by(_BULK.id))).scalars())


async def bulk_sends_under_way(connection: AsyncConnection, states: Sequence[BulkState]) -> list[str]:
    query = select(_BULK.id).where(_BULK.state.in_([state.value for state in states]))
    return list((await connection.execute(query.order_by(_BULK.id))).scalars())


async def bulk_sends_broken_off(connection: AsyncConnection, created_before: datetime) -> list[str]:
    """Those whose storing never came to its end."""
    query = select(_BULK.id).where(_BULK.state == BulkState.STORING.value, _BULK.created_at < created_before)
    return list((await connection.execute(query)).scalars())


async def messages(
    connection: AsyncConnection, bulk_id: str, wanted: MessageFilter, *, limit: int = 50, after: int = 0
) -> list[Message]:
    """The messages of a bulk send by seq; `after` is the last seq seen."""
    query = _SELECT_MESSAGE.where(_MESSAGE.bulk_id == bulk_id, _MESSAGE.seq > after)
    query = _filtered(query, wanted).order_by(_MESSAGE.seq).limit(limit)
    return [message_of(row) for row in await connection.execute(query)]


async def message(connection: AsyncConnection, bulk_id: str, seq: int) -> Message:
    """One message. Raises NotFound."""
    query = _SELECT_MESSAGE.where(_MESSAGE.bulk_id == bulk_id, _MESSAGE.seq == seq)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound("There is no message with this id.")
    return message_of(row)


async def single_messages(
    connection: AsyncConnection,
    *,
    state: MessageState | None = None,
    to: str | None = None,
    owner: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> list[Message]:
    """Transactional messages, of one `owner` or of all, newest first; `after` is a bulk id."""
    query = _SELECT_MESSAGE.join(_TABLES["bulk_send"], _BULK.id == _MESSAGE.bulk_id)
    query = query.where(_BULK.kind == SendKind.MESSAGE.value, _MESSAGE.seq == 1)
    if state is not None:
        query = query.where(_MESSAGE.state == state.value)
    if owner is not None:
        query = query.where(_BULK.owner == owner)
    if to is not None:
        query = query.where(func.lower(_MESSAGE.address) == func.lower(to))
    if after is not None:
        query = query.where(_BULK.id < after)
    query = query.order_by(_BULK.id.desc()).limit(limit)
    return [message_of(row) for row in await connection.execute(query)]


async def attempts(connection: AsyncConnection, bulk_id: str, seq: int) -> list[Attempt]:
    """The SMTP transactions of a message, the first one first."""
    columns = [_ATTEMPT[name] for name in Attempt.__slots__]
    query = select(*columns).where(_ATTEMPT.bulk_id == bulk_id, _ATTEMPT.seq == seq)
    rows = await connection.execute(query.order_by(_ATTEMPT.number))
    return [Attempt(**row._mapping) for row in rows]


async def sent_content(
    connection: AsyncConnection, bulk_id: str, seq: int
) -> tuple[Content, datetime, Recipient]:
    """What it takes to render a message again. Raises NotFound, Conflict before the send is queued."""
    wanted = await message(connection, bulk_id, seq)
    query = (
        select(_CONTENT.document, func.coalesce(_BULK.begins_at, _BULK.accepted_at))
        .join(_TABLES["bulk_send"], _BULK.content_id == _CONTENT.id)
        .where(_BULK.id == bulk_id)
    )
    document, accepted_at = (await connection.execute(query)).one()
    if accepted_at is None:
        raise Conflict("This message has no Date yet: start the bulk send first.")
    recipient = Recipient(wanted.seq, wanted.address, wanted.name, wanted.variables)
    return Content.model_validate(document), accepted_at, recipient


async def content_of(connection: AsyncConnection, bulk_id: str) -> Content:
    """What a bulk send says, whatever its state. Raises NotFound."""
    query = select(_CONTENT.document).join(_TABLES["bulk_send"], _BULK.content_id == _CONTENT.id)
    document = (await connection.execute(query.where(_BULK.id == bulk_id))).scalar_one_or_none()
    if document is None:
        raise NotFound("There is no bulk send with this id.")
    return Content.model_validate(document)


async def is_alive(connection: AsyncConnection) -> bool:
    """The database answers and has our tables."""
    await connection.execute(select(_BULK.id).limit(1))
    return True


# One statement sees one moment, on every isolation level.
_ACCOUNTING = text("""
    SELECT 'send' AS what, state, accepted AS n FROM bulk_send WHERE id = :bulk_id
    UNION ALL
    SELECT 'stored', state, count(*) FROM message WHERE bulk_id = :bulk_id GROUP BY state
    UNION ALL
    SELECT 'counted', state, sum(n) FROM counter WHERE bulk_id = :bulk_id GROUP BY state
""")


async def accounting(connection: AsyncConnection, bulk_id: str) -> dict[str, Any]:
    """The counters, the messages counted one by one, and what was accepted: do they add up?

    Reads every message of the send: for tests and `check`, not for a request. Raises NotFound.
    """
    found: dict[str, dict[str, int]] = {"send": {}, "stored": {}, "counted": {}}
    for what, state, n in await connection.execute(_ACCOUNTING, {"bulk_id": bulk_id}):
        if n or what == "send":
            found[what][state] = int(n)
    if not found["send"]:
        raise NotFound("There is no bulk send with this id.")
    [(state, accepted)] = found["send"].items()
    stored, counted = found["stored"], found["counted"]
    return {
        "state": state,
        "accepted": accepted,
        "stored": dict(sorted(stored.items())),
        "counted": dict(sorted(counted.items())),
        "open": sum(n for one, n in stored.items() if one in OPEN_STATES),
        "adds_up": stored == counted and sum(stored.values()) == accepted,
    }


async def _counts_by_bulk_send(
    connection: AsyncConnection, bulk_ids: Sequence[str]
) -> dict[str, dict[MessageState, int]]:
    query = select(_COUNTER.bulk_id, _COUNTER.state, func.sum(_COUNTER.n))
    query = query.where(_COUNTER.bulk_id.in_(bulk_ids))
    answer: dict[str, dict[MessageState, int]] = {}
    for bulk_id, state, n in await connection.execute(query.group_by(_COUNTER.bulk_id, _COUNTER.state)):
        answer.setdefault(bulk_id, {})[MessageState(state)] = int(n)
    return answer


def _bulk_send(row: Row[*tuple[Any, ...]], counts: dict[MessageState, int]) -> BulkSend:
    values = dict(row._mapping)
    values["state"] = BulkState(values["state"])
    values["kind"] = SendKind(values["kind"])
    values["options"] = BulkOptions.model_validate(values["options"])
    return BulkSend(**values, counts={state: counts.get(state, 0) for state in MessageState})


def message_of(row: Row[*tuple[Any, ...]]) -> Message:
    """A row of MESSAGE_COLUMNS."""
    values = dict(row._mapping)
    values["state"] = MessageState(values["state"])
    values["variables"] = values["variables"] or {}
    return Message(**values)


def _filtered(query: Select[Any], wanted: MessageFilter) -> Select[Any]:
    if wanted.state is not None:
        query = query.where(_MESSAGE.state == wanted.state.value)
        if f"'{wanted.state.value}'" in RARE_STATES:
            query = query.where(text(RARE_STATES))  # said again in its words, so that its index can be used
    if wanted.lane is not None:
        query = query.where(_MESSAGE.lane == wanted.lane)
    if wanted.q is not None:
        part = func.lower(_MESSAGE.address).contains(wanted.q.lower(), autoescape=True)
        query = query.where(part)
    return query
