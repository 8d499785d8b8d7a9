"""What a Delivery asks of the archive: what is due in a batch, what is left, and closing what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.counters import add_to_counters
from postwerk.archive.settling import SENDABLE, settle_open
from postwerk.contracts.content import Content, MailIdentity
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.orders import BatchOrder, Counts
from postwerk.contracts.smtp import Exchange
from postwerk.contracts.states import BulkState, MessageState

_IN_BATCH = "bulk_id = :bulk_id AND lane = :lane AND seq BETWEEN :first_seq AND :last_seq AND round = :round"
# Held ones are open too, but nothing is due of them.
_OPEN = "state IN ('queued', 'sending', 'deferred')"
_DUE = text(f"""
    SELECT seq, address, name, variables, state, attempts, deferrals, extra FROM message
    WHERE {_IN_BATCH} AND seq > :after AND {_OPEN} AND (next_attempt_at IS NULL OR next_attempt_at <= :now)
    ORDER BY seq LIMIT :limit
""")
_LEFT = text(f"""
    SELECT state, count(*), min(COALESCE(next_attempt_at, 0)), max(extra)
    FROM message WHERE {_IN_BATCH} GROUP BY state
""")
_LAST_DUE = text(f"""
    SELECT max(next_attempt_at) FROM message WHERE {_IN_BATCH} AND {_OPEN} AND next_attempt_at <= :until
""")
_LAST_REPLY = text(f"""
    SELECT last_code, last_text FROM message
    WHERE {_IN_BATCH} AND state = 'deferred' ORDER BY next_attempt_at LIMIT 1
""")
_ENDS = "state = :state, changed_at = :now, next_attempt_at = NULL, time_left = NULL, next_state = NULL"
_SETTLE = text(f"UPDATE message SET {_ENDS} WHERE {_IN_BATCH} AND state = :was RETURNING lane")
_SETTLE_LATE = text(
    f"UPDATE message SET {_ENDS} WHERE {_IN_BATCH} AND state = :was AND extra <= :late RETURNING lane"
)
_SETTLE_SEQS = text(
    f"UPDATE message SET {_ENDS} WHERE bulk_id = :bulk_id AND seq IN :seqs AND state = :was RETURNING lane"
).bindparams(bindparam("seqs", expanding=True))
_MAKE_DUE = text(f"UPDATE message SET next_attempt_at = :now WHERE {_IN_BATCH} AND state = 'deferred'")
_UNREACHABLE = text(f"""
    UPDATE message SET state = 'deferred', changed_at = :now, next_attempt_at = :now, last_reason = :reason,
        last_stage = :stage, last_code = :code, last_enhanced = :enhanced, last_text = :text
    WHERE {_IN_BATCH} AND state = :was AND (next_attempt_at IS NULL OR next_attempt_at <= :now)
""")
_BULK_CONTENT = text("""
    SELECT content.document, bulk_send.options,
        COALESCE(bulk_send.begins_at, bulk_send.accepted_at) AS dated
    FROM bulk_send JOIN content ON content.id = bulk_send.content_id WHERE bulk_send.id = :bulk_id
""")
_MESSAGE_STATE = text("SELECT state FROM message WHERE bulk_id = :bulk_id AND seq = :seq")
_BULK_OPTIONS = text("SELECT options, changes FROM bulk_send WHERE id = :bulk_id")
_BULK_STATES = text(
    "SELECT id, state, config_errors, changes, too_big FROM bulk_send "
    "WHERE id IN (SELECT value FROM json_each(:ids))"
)
_BULK_STATES_POSTGRESQL = text(
    "SELECT id, state, config_errors, changes, too_big FROM bulk_send "
    "WHERE id IN (SELECT jsonb_array_elements_text(CAST(:ids AS jsonb)))"
)


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message to be tried now. In state SENDING its last attempt was cut off: nobody knows its end."""

    seq: int
    address: str
    name: str
    variables: dict[str, Any]
    state: MessageState
    attempts: int
    deferrals: int
    extra: timedelta = timedelta(0)
    """So much later than the batch's is its own deadline."""


class BulkStanding(NamedTuple):
    """What a worker looks at each second while it sends."""

    state: BulkState
    config_errors: int
    """How often in a row our own settings were refused."""
    changes: int = 0
    """How often its options were changed."""
    too_big: int | None = None
    """So many octets had a message that was refused as too big."""


@dataclass(frozen=True, slots=True)
class Left:
    """How a batch stands: counts by state, and when the next open message that is not held is due."""

    counts: Counts
    next_at: datetime | None


def _batch(order: BatchOrder, **more: Any) -> dict[str, Any]:
    return {
        "bulk_id": order.bulk_id,
        "lane": order.lane,
        "first_seq": order.first_seq,
        "last_seq": order.last_seq,
        "round": order.round,
        **more,
    }


async def due_messages(
    connection: AsyncConnection, order: BatchOrder, now: datetime, *, after: int = 0, limit: int = 1000
) -> list[DueMessage]:
    """The open messages of the batch whose time has come, the next `limit` behind seq `after`."""
    rows = await connection.execute(_DUE, _batch(order, now=to_microseconds(now), after=after, limit=limit))
    return [
        DueMessage(
            seq,
            address,
            name,
            orjson.loads(variables) if variables else {},
            MessageState(state),
            attempts,
            deferrals,
            timedelta(microseconds=extra),
        )
        for seq, address, name, variables, state, attempts, deferrals, extra in rows
    ]


async def message_state(connection: AsyncConnection, bulk_id: str, seq: int) -> MessageState | None:
    """Where a message stands now; None for one that there is not."""
    found = await connection.execute(_MESSAGE_STATE, {"bulk_id": bulk_id, "seq": seq})
    state = found.scalar_one_or_none()
    return None if state is None else MessageState(state)


async def left_in_batch(connection: AsyncConnection, order: BatchOrder) -> Left:
    counts: dict[MessageState, int] = {}
    due: list[int] = []
    more_time = 0
    for state, n, earliest, extra in await connection.execute(_LEFT, _batch(order)):
        counts[MessageState(state)] = n
        if state in SENDABLE:
            due.append(earliest)
            more_time = max(more_time, extra)
    next_at = from_microseconds(min(due)) if due else None
    return Left(Counts(states=counts, more_time=timedelta(microseconds=more_time)), next_at)


async def last_due(connection: AsyncConnection, order: BatchOrder, until: datetime) -> datetime | None:
    """The last time, up to `until`, at which an open message of the batch is due."""
    found = await connection.execute(_LAST_DUE, _batch(order, until=to_microseconds(until)))
    at = found.scalar_one_or_none()
    return from_microseconds(at) if at else None


async def last_reply_of_batch(connection: AsyncConnection, order: BatchOrder) -> str:
    """The last reply to the message that is due next, as "451 4.7.1 text"."""
    row = (await connection.execute(_LAST_REPLY, _batch(order))).one_or_none()
    if row is None:
        return ""
    return " ".join(str(part) for part in row if part)


async def settle_batch(
    connection: AsyncConnection, order: BatchOrder, state: MessageState, now: datetime, shard: int
) -> Counts:
    """Give every open message of the batch this final state; keeps each one's last reply."""
    where = _batch(order, now=to_microseconds(now))
    await settle_open(connection, _SETTLE, where, order.bulk_id, state, shard)
    return (await left_in_batch(connection, order)).counts


async def expire_batch(
    connection: AsyncConnection, order: BatchOrder, late: timedelta, now: datetime, shard: int
) -> Counts:
    """The batch's deadline is over since `late`: so is everyone's who has no later one. Held ones stay."""
    where = _batch(order, now=to_microseconds(now), late=late // timedelta(microseconds=1))
    await settle_open(
        connection, _SETTLE_LATE, where, order.bulk_id, MessageState.EXPIRED, shard, states=SENDABLE
    )
    return (await left_in_batch(connection, order)).counts


async def expire_some(
    connection: AsyncConnection, bulk_id: str, seqs: Sequence[int], now: datetime, shard: int
) -> None:
    """The deadlines of these messages are over."""
    where = {"bulk_id": bulk_id, "seqs": list(seqs), "now": to_microseconds(now)}
    await settle_open(connection, _SETTLE_SEQS, where, bulk_id, MessageState.EXPIRED, shard, states=SENDABLE)


async def make_due(connection: AsyncConnection, order: BatchOrder, now: datetime) -> None:
    """Deferred messages of the batch wait no longer."""
    await connection.execute(_MAKE_DUE, _batch(order, now=to_microseconds(now)))


async def note_unreachable(
    connection: AsyncConnection,
    order: BatchOrder,
    exchange: Exchange,
    reason: str,
    *,
    now: datetime,
    shard: int,
) -> None:
    """No session could be had: what is due says so, and stays due, at no cost to anyone's attempts (P5)."""
    reply = exchange.reply
    said = {
        "now": to_microseconds(now),
        "reason": reason,
        "stage": exchange.stage,
        "code": reply.code if reply else None,
        "enhanced": reply.enhanced if reply else None,
        "text": reply.text if reply else exchange.detail,
    }
    moved: Counter[tuple[str, str]] = Counter()
    for was in (MessageState.QUEUED, MessageState.DEFERRED):
        done = await connection.execute(_UNREACHABLE, _batch(order, was=was, **said))
        moved[order.bulk_id, was] -= done.rowcount
        moved[order.bulk_id, MessageState.DEFERRED] += done.rowcount
    await add_to_counters(connection, moved, shard)


async def bulk_content(
    connection: AsyncConnection, bulk_id: str
) -> tuple[Content, BulkOptions, MailIdentity] | None:
    """What a bulk send says and how it is to be carried; None when it is not in the archive."""
    row = (await connection.execute(_BULK_CONTENT, {"bulk_id": bulk_id})).one_or_none()
    if row is None:
        return None
    document, options, dated = row
    return (
        Content.model_validate_json(document),
        BulkOptions.model_validate_json(options),
        MailIdentity(bulk_id, from_microseconds(dated)),
    )


async def bulk_options(connection: AsyncConnection, bulk_id: str) -> tuple[BulkOptions, int] | None:
    """How it is to be carried now, and how often that was changed; None when it is not in the archive."""
    row = (await connection.execute(_BULK_OPTIONS, {"bulk_id": bulk_id})).one_or_none()
    return None if row is None else (BulkOptions.model_validate_json(row.options), row.changes)


async def bulk_states(connection: AsyncConnection, bulk_ids: list[str]) -> dict[str, BulkStanding]:
    """How each of those that exist stands."""
    statement = _BULK_STATES if connection.dialect.name == "sqlite" else _BULK_STATES_POSTGRESQL
    rows = await connection.execute(statement, {"ids": orjson.dumps(bulk_ids).decode()})
    return {
        bulk_id: BulkStanding(BulkState(state), errors, changes, too_big)
        for bulk_id, state, errors, changes, too_big in rows
    }
