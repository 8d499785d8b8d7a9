"""What senders are told: the messages to tell of, and the notices, each stored once.

A notice is a bulk send of its own. It is queued in the transaction that writes down that it was told; the
reconciler starts it like any other send that was stored and not started.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive import reads
from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.counters import counts_of
from postwerk.archive.delivery import bulk_content
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.intake import NewBulkSend, add_recipients, queue_bulk_send, store_bulk_send
from postwerk.archive.tables import RARE_STATES
from postwerk.contracts.content import Content
from postwerk.contracts.notices import FAILED_STATES, Reason, ToldMessage, ToldSend
from postwerk.contracts.options import BulkOptions, NotifyOn
from postwerk.contracts.states import BulkState, MessageState, SendKind
from postwerk.rules.recipients import new_recipient

WHOLE_SEND = 0
"""`seq` of a notice that is about no single message."""

_TOLD = """
    SELECT m.seq, m.address, m.name, m.variables, m.state, m.attempts, m.changed_at,
        m.last_reason, m.last_code, m.last_enhanced, m.last_text, a.host, a.started_at
    FROM message m
    LEFT JOIN attempt a ON a.bulk_id = m.bulk_id AND a.seq = m.seq AND a.number = m.attempts
    WHERE m.bulk_id = :bulk_id AND m.seq > :after AND {which} ORDER BY m.seq LIMIT :limit
"""
_UNTOLD = """
    AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.bulk_id = m.bulk_id AND n.seq = m.seq AND n.kind = :kind)
"""
# RARE_STATES is said again in its words, so that its index can be used.
_IN_STATE = f"m.state = :state AND {RARE_STATES}"
_IN_OPEN_STATE = "m.state IN ('queued', 'sending', 'deferred', 'held')"
_FAILED = text(_TOLD.format(which=_IN_STATE))
_FAILED_UNTOLD = text(_TOLD.format(which=_IN_STATE + _UNTOLD))
_OPEN_UNTOLD = text(_TOLD.format(which=_IN_OPEN_STATE + _UNTOLD))
_REASONS = text(f"""
    SELECT state, last_reason, last_code, count(*) FROM message
    WHERE bulk_id = :bulk_id AND state IN :states AND {RARE_STATES} GROUP BY state, last_reason, last_code
""").bindparams(bindparam("states", expanding=True))
_WAS_TOLD = text("SELECT 1 FROM notice WHERE bulk_id = :bulk_id AND seq = :seq AND kind = :kind")
_TELL = text("""
    INSERT INTO notice (bulk_id, seq, kind, notice_bulk_id, told_at)
    VALUES (:bulk_id, :seq, :kind, :notice_bulk_id, :told_at) ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A notice about to be stored; `seq` is the message it is about, or WHOLE_SEND."""

    seq: int
    kind: NotifyOn
    content: Content


async def told_send(connection: AsyncConnection, bulk_id: str) -> ToldSend | None:
    """The bulk send, if somebody wants to be told of it; None for a notice, whatever its options say."""
    found = await bulk_content(connection, bulk_id)
    if found is None:
        return None
    content, options, identity = found
    send = await reads.bulk_send(connection, bulk_id)
    if send.notice_of or options.notify is None:
        return None
    accepted_at = identity.accepted_at
    return ToldSend(
        id=send.id,
        name=send.name,
        state=send.state,
        content=content,
        options=options,
        notify=options.notify,
        accepted_at=accepted_at,
        finished_at=send.finished_at,
        deadline=send.deadline or accepted_at + send.options.deadline,
        accepted=send.accepted,
        counts=await counts_of(connection, bulk_id),
    )


async def failed_messages(
    connection: AsyncConnection, bulk_id: str, state: MessageState, *, after: int, limit: int
) -> list[ToldMessage]:
    """Messages in one of the failed states by seq, the next `limit` behind `after`."""
    return await _messages(connection, _FAILED, bulk_id, after, limit, state=state)


async def untold_failures(
    connection: AsyncConnection, bulk_id: str, state: MessageState, *, after: int, limit: int
) -> list[ToldMessage]:
    """The same without those whose failure was told already."""
    return await _messages(
        connection, _FAILED_UNTOLD, bulk_id, after, limit, state=state, kind=NotifyOn.FAILURE.value
    )


async def untold_delays(
    connection: AsyncConnection, bulk_id: str, *, after: int, limit: int
) -> list[ToldMessage]:
    """Messages that are still open and whose delay was not told."""
    return await _messages(connection, _OPEN_UNTOLD, bulk_id, after, limit, kind=NotifyOn.DELAY.value)


async def reasons(
    connection: AsyncConnection, bulk_id: str, states: tuple[MessageState, ...] = FAILED_STATES
) -> list[Reason]:
    """Why messages stand in these states, the most frequent first. Not for `queued`: that has no reason."""
    where = {"bulk_id": bulk_id, "states": [state.value for state in states]}
    found = [
        Reason(MessageState(state), reason or (f"reply {code}" if code else "no reply"), n)
        for state, reason, code, n in await connection.execute(_REASONS, where)
    ]
    return sorted(found, key=lambda one: (-one.messages, one.state, one.reason))


async def was_told(connection: AsyncConnection, bulk_id: str, seq: int, kind: NotifyOn) -> bool:
    where = {"bulk_id": bulk_id, "seq": seq, "kind": kind.value}
    return (await connection.execute(_WAS_TOLD, where)).first() is not None


async def store_notice(connection: AsyncConnection, about: ToldSend, new: NewNotice, now: datetime) -> bool:
    """Queue the notice and note that it was told; False, and nothing done, when it was told before."""
    notice_id = new_bulk_id()
    told = await connection.execute(
        _TELL,
        {
            "bulk_id": about.id,
            "seq": new.seq,
            "kind": new.kind.value,
            "notice_bulk_id": notice_id,
            "told_at": to_microseconds(now),
        },
    )
    if not told.rowcount:
        return False
    options = BulkOptions(retry=about.options.retry, relay=about.options.relay)
    send = NewBulkSend(
        notice_id,
        f"notice: {new.kind}",
        new.content,
        options,
        None,
        now,
        notice_of=about.id,
        kind=SendKind.NOTICE,
    )
    await store_bulk_send(connection, send, BulkState.STORING)
    to = [new_recipient(box.model_dump()) for box in about.notify.to]
    await add_recipients(connection, notice_id, to)
    await queue_bulk_send(connection, notice_id, now, options)
    return True


async def _messages(
    connection: AsyncConnection, statement: Any, bulk_id: str, after: int, limit: int, **more: str
) -> list[ToldMessage]:
    where = {"bulk_id": bulk_id, "after": after, "limit": limit, **more}
    return [_message(row) for row in await connection.execute(statement, where)]


def _message(row: Row[Any]) -> ToldMessage:
    return ToldMessage(
        seq=row.seq,
        address=row.address,
        name=row.name,
        variables=orjson.loads(row.variables) if row.variables else {},
        state=MessageState(row.state),
        attempts=row.attempts,
        changed_at=None if row.changed_at is None else from_microseconds(row.changed_at),
        reason=row.last_reason or "",
        code=row.last_code,
        enhanced=row.last_enhanced or "",
        said=row.last_text or "",
        host=row.host or "",
        last_attempt_at=None if row.started_at is None else from_microseconds(row.started_at),
    )
