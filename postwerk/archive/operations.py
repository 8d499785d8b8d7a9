"""Operations: what an operator wants done to messages, remembered until it is done.

Rows are found page by page in the order of (bulk id, seq), and changed in commits of their own that also say
how far the operation has come: whoever goes on after a crash changes nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel, col

from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.ids import new_id
from postwerk.archive.queue_conditions import MESSAGE, message_conditions
from postwerk.archive.queue_filter import UNDER_WAY, SendInQuestion, messages_meant, sends_in_question
from postwerk.archive.tables import BulkSendRow, OperationBatchRow, OperationRow
from postwerk.contracts.queue import STOPPING, OperationState, QueueFilter, Verb
from postwerk.contracts.states import ENDED, OPEN_STATES, MessageState, SendKind
from postwerk.errors import NotFound

FITTING: dict[Verb, tuple[MessageState, ...]] = {
    Verb.RETRY: (MessageState.DEFERRED,),
    Verb.HOLD: (MessageState.QUEUED, MessageState.SENDING, MessageState.DEFERRED),
    Verb.RELEASE: (MessageState.SENDING, MessageState.HELD),
    Verb.CANCEL: tuple(OPEN_STATES),
    Verb.EXPIRE: tuple(OPEN_STATES),
}
PAGE = 2000
"""Rows changed in one commit: the journal of a worker waits no longer than for these."""
_OPERATION = SQLModel.metadata.tables[OperationRow.__tablename__].c
_SEND = SQLModel.metadata.tables[BulkSendRow.__tablename__].c
_BATCH = SQLModel.metadata.tables[OperationBatchRow.__tablename__].c
_FOUND = (MESSAGE.bulk_id, MESSAGE.seq, MESSAGE.state, MESSAGE.lane, MESSAGE.round)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as it stands. `changed` and `skipped` grow while it runs."""

    id: str
    verb: Verb
    state: OperationState
    filter: QueueFilter
    details: dict[str, Any] | None
    reason: str
    by: str
    via: str
    created_at: datetime
    finished_at: datetime | None = None
    matched: int | None = None
    changed: int = 0
    skipped: int = 0
    detail: str = ""
    bulk_id: str = ""
    seq: int = 0

    @property
    def round(self) -> int:
        """retry_failed: the round that its messages go to."""
        return int((self.details or {}).get("round", 0))


class Found(NamedTuple):
    """A message that is meant, as it was when it was found."""

    bulk_id: str
    seq: int
    was: MessageState
    lane: str
    round: int


class Page(NamedTuple):
    """The next messages that are meant; `last` when there are no more behind them."""

    found: Sequence[Found]
    last: bool


def new_operation(
    verb: Verb,
    wanted: QueueFilter,
    *,
    reason: str,
    actor: Actor,
    now: datetime,
    details: dict[str, Any] | None = None,
    bulk_id: str = "",
    operation_id: str = "",
) -> Operation:
    """Not written down yet. `bulk_id`: the one send it is about, for retry_failed."""
    return Operation(
        id=operation_id or new_operation_id(),
        verb=verb,
        state=OperationState.RUNNING,
        filter=narrowed(verb, wanted),
        details=details,
        reason=reason,
        by=actor.by,
        via=actor.via,
        created_at=now,
        bulk_id=bulk_id,
    )


async def store_operation(connection: AsyncConnection, new: Operation, *, target: str = "") -> None:
    """Write it down, and into the audit trail: from this commit on it is done, whatever crashes."""
    values = asdict(new) | {"filter": new.filter.model_dump(mode="json", exclude_defaults=True)}
    await connection.execute(insert(OperationRow).values(**values))
    await write_audit(
        connection,
        Actor(new.by, new.via),
        f"queue.{new.verb}" if new.verb is not Verb.RETRY_FAILED else "bulk.retry_failed",
        at=new.created_at,
        target=target,
        meant=values["filter"],
        reason=new.reason,
        count=new.matched,
        operation=new.id,
        details=new.details,
    )


def new_operation_id() -> str:
    return new_id("op")


async def operation(connection: AsyncConnection, operation_id: str) -> Operation:
    """Raises NotFound."""
    found = await find_operation(connection, operation_id)
    if found is None:
        raise NotFound("There is no operation with this id.")
    return found


async def find_operation(connection: AsyncConnection, operation_id: str) -> Operation | None:
    row = (await connection.execute(_select().where(_OPERATION.id == operation_id))).one_or_none()
    return None if row is None else _operation(row)


async def operations(
    connection: AsyncConnection, *, limit: int = 50, after: str | None = None
) -> list[Operation]:
    """The newest first; `after` is the id of the last one seen."""
    query = _select().order_by(_OPERATION.id.desc()).limit(limit)
    if after is not None:
        query = query.where(_OPERATION.id < after)
    return [_operation(row) for row in await connection.execute(query)]


async def unfinished_operations(connection: AsyncConnection) -> list[Operation]:
    """Running ones, and those whose batches are still to be told; the oldest first."""
    states = [OperationState.RUNNING.value, OperationState.TELLING.value]
    query = _select().where(_OPERATION.state.in_(states)).order_by(_OPERATION.id)
    return [_operation(row) for row in await connection.execute(query)]


async def stopping_operations(connection: AsyncConnection) -> list[tuple[str, QueueFilter, datetime]]:
    """Id, filter and beginning of the running ones after which messages must not be sent (P6)."""
    query = select(_OPERATION.id, _OPERATION.filter, _OPERATION.created_at).where(
        _OPERATION.state == OperationState.RUNNING.value,
        _OPERATION.verb.in_([verb.value for verb in STOPPING]),
    )
    return [
        (id_, QueueFilter.model_validate(wanted), at)
        for id_, wanted, at in await connection.execute(query.order_by(_OPERATION.id))
    ]


async def stopped_seqs(
    connection: AsyncConnection, wanted: QueueFilter, began: datetime, bulk_id: str, seqs: Sequence[int]
) -> set[int]:
    """Which of these messages an operation means."""
    sends = await sends_in_question(connection, wanted, began)
    if not seqs or all(send.id != bulk_id for send in sends):
        return set()
    query = select(MESSAGE.seq).where(
        MESSAGE.bulk_id == bulk_id, MESSAGE.seq.in_(list(seqs)), *message_conditions(wanted, bulk_id)
    )
    if wanted.state:
        query = query.where(MESSAGE.state.in_([state.value for state in wanted.state]))
    return set((await connection.execute(query)).scalars())


def narrowed(verb: Verb, wanted: QueueFilter) -> QueueFilter:
    """Only states in which the verb means something: nobody walks past a million others for nothing."""
    if verb is Verb.RETRY_FAILED or not means_anything(verb, wanted):
        return wanted
    fitting = tuple(state for state in FITTING[verb] if not wanted.state or state in wanted.state)
    return wanted.model_copy(update={"state": fitting})


def means_anything(verb: Verb, wanted: QueueFilter) -> bool:
    """False: in none of the states that are wanted has the verb a meaning, as to release what is deferred."""
    return verb is Verb.RETRY_FAILED or not wanted.state or not set(wanted.state).isdisjoint(FITTING[verb])


async def next_page(connection: AsyncConnection, op: Operation, limit: int = PAGE) -> Page:
    """The next messages meant, behind where the operation stands. Send by send; in a reading transaction."""
    found: list[Found] = []
    if not means_anything(op.verb, op.filter):
        return Page(found, last=True)
    for send in await _sends_of(connection, op):
        after = op.seq if send.id == op.bulk_id else 0
        query = messages_meant(_FOUND, send, op.filter, after=after, limit=limit - len(found))
        if query is not None:
            rows = await connection.execute(query)
            found += [Found(bulk, seq, MessageState(was), lane, part) for bulk, seq, was, lane, part in rows]
        if len(found) >= limit:
            return Page(found, last=False)
    return Page(found, last=True)


async def _sends_of(connection: AsyncConnection, op: Operation) -> list[SendInQuestion]:
    """Later ones are not meant: they came after the operator spoke."""
    states = (*UNDER_WAY, *ENDED) if op.verb is Verb.RETRY_FAILED else UNDER_WAY
    sends = await sends_in_question(connection, op.filter, op.created_at, states=states, after=op.bulk_id)
    return [send for send in sends if send.accepted_at and send.accepted_at <= op.created_at]


async def claim_page(connection: AsyncConnection, op: Operation, page: Page) -> bool:
    """Note that these are done with, first thing in the transaction that changes them.

    False: somebody was quicker, or it is no longer running.
    """
    last = page.found[-1] if page.found else None
    done = await connection.execute(
        update(OperationRow)
        .where(
            col(OperationRow.id) == op.id,
            col(OperationRow.state) == OperationState.RUNNING.value,
            col(OperationRow.bulk_id) == op.bulk_id,
            col(OperationRow.seq) == op.seq,
        )
        .values(bulk_id=last.bulk_id if last else op.bulk_id, seq=last.seq if last else op.seq)
    )
    return done.rowcount == 1


async def note_page(
    connection: AsyncConnection, op: Operation, page: Page, *, changed: int, now: datetime
) -> Operation:
    """Add what became of the page's messages; the last page ends the operation, or has its batches told."""
    last = page.found[-1] if page.found else None
    further = replace(
        op,
        changed=op.changed + changed,
        skipped=op.skipped + len(page.found) - changed,
        bulk_id=last.bulk_id if last else op.bulk_id,
        seq=last.seq if last else op.seq,
    )
    if page.last:
        tell = await _is_to_tell(connection, op)
        further = replace(
            further,
            state=OperationState.TELLING if tell else OperationState.DONE,
            matched=further.changed + further.skipped,
            finished_at=now,
        )
    await connection.execute(
        update(OperationRow)
        .where(col(OperationRow.id) == op.id)
        .values(
            state=further.state.value,
            matched=further.matched,
            changed=further.changed,
            skipped=further.skipped,
            finished_at=further.finished_at,
        )
    )
    return further


async def note_matched(connection: AsyncConnection, op: Operation, matched: int) -> Operation:
    """How many it means, counted beforehand; at its end the number is exact."""
    await connection.execute(
        update(OperationRow)
        .where(col(OperationRow.id) == op.id, col(OperationRow.matched).is_(None))
        .values(matched=matched)
    )
    return replace(op, matched=matched)


async def _is_to_tell(connection: AsyncConnection, op: Operation) -> bool:
    query = select(_BATCH.number).where(_BATCH.operation == op.id).limit(1)
    return (await connection.execute(query)).first() is not None


class Batch(NamedTuple):
    """A batch by its bulk send and number; number 0 stands for the send's root workflow."""

    bulk_id: str
    number: int
    alone: bool = False
    """Its root workflow carries it itself."""


async def batches_to_tell(connection: AsyncConnection, operation_id: str, limit: int = 500) -> list[Batch]:
    alone = (_SEND.kind == SendKind.MESSAGE.value).label("alone")
    query = select(_BATCH.bulk_id, _BATCH.number, alone).where(_BATCH.operation == operation_id)
    query = query.join(_SEND.id.table, _SEND.id == _BATCH.bulk_id)
    rows = await connection.execute(query.order_by(_BATCH.bulk_id, _BATCH.number).limit(limit))
    return [Batch(bulk_id, number, bool(alone)) for bulk_id, number, alone in rows]


async def forget_told(connection: AsyncConnection, operation_id: str, told: Sequence[Batch]) -> None:
    """These have been told, or are no more."""
    if told:
        gone = delete(OperationBatchRow).where(
            col(OperationBatchRow.operation) == operation_id,
            col(OperationBatchRow.bulk_id) == bindparam("of"),
            col(OperationBatchRow.number) == bindparam("one"),
        )
        await connection.execute(gone, [{"of": batch.bulk_id, "one": batch.number} for batch in told])


async def end_operation(
    connection: AsyncConnection, operation_id: str, state: OperationState, detail: str = ""
) -> None:
    """Done with it: told everyone, or it failed for the reason `detail`."""
    await connection.execute(
        update(OperationRow)
        .where(col(OperationRow.id) == operation_id)
        .values(state=state.value, detail=detail)
    )


def _select() -> Any:
    return select(*[_OPERATION[name] for name in Operation.__slots__])


def _operation(row: Any) -> Operation:
    values = dict(row._mapping)
    values["verb"] = Verb(values["verb"])
    values["state"] = OperationState(values["state"])
    values["filter"] = QueueFilter.model_validate(values["filter"])
    return Operation(**values)
