"""The queue, page by page: open messages of started bulk sends, by bulk id and seq."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.queue_conditions import MESSAGE, is_pointed
from postwerk.archive.queue_filter import (
    UNDER_WAY,
    SendInQuestion,
    messages_meant,
    sends_in_question,
)
from postwerk.archive.reads import MESSAGE_COLUMNS, Message, message_of
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import BulkState

PATIENCE_SECONDS = 0.15
"""So long a page is looked for; then it is as short as it is, and the next one goes on from there."""
SENDS_AT_ONCE = 500
_FIRST_LOOK, _WIDEST_LOOK = 20_000, 80_000
"""Messages in a row of which the meant ones are asked for: wider with each look that found too few."""


class Position(NamedTuple):
    """The last message seen, or looked at."""

    bulk_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class QueuePage:
    """`next`: where to go on; None at the end of the queue."""

    messages: list[Message]
    next: Position | None


class _Stretch(NamedTuple):
    """The messages after..last of a send; last None: to its end."""

    send: SendInQuestion
    after: int
    last: int | None


async def queued_messages(
    connection: AsyncConnection,
    wanted: QueueFilter,
    now: datetime,
    *,
    limit: int,
    after: Position | None = None,
    patience: float = PATIENCE_SECONDS,
    states: Sequence[BulkState] = UNDER_WAY,
) -> QueuePage:
    """The next messages that are meant.

    `states` are those of the sends: with ended ones, messages that have ended are found by their states too.
    Fewer than `limit`, or none, with a `next` when they are so rare that `patience` (seconds) was over first.
    """
    stop, looked = time.monotonic() + patience, False
    found: list[Message] = []
    async for stretch in _stretches(connection, wanted, now, after, states):
        if looked and time.monotonic() > stop:
            return QueuePage(found, Position(stretch.send.id, stretch.after))
        found += await _meant_in(connection, stretch, wanted, limit + 1 - len(found))
        looked = True
        if len(found) > limit:
            last = found[limit - 1]
            return QueuePage(found[:limit], Position(last.bulk_id, last.seq))
    return QueuePage(found, None)


async def _stretches(
    connection: AsyncConnection,
    wanted: QueueFilter,
    now: datetime,
    after: Position | None,
    states: Sequence[BulkState],
) -> AsyncIterator[_Stretch]:
    """The queue behind `after`, piece by piece."""
    last_send = after.bulk_id if after else ""
    sends = await sends_in_question(connection, wanted, now, states=states, after=last_send)
    for send in await sends_with_recipient(connection, sends, wanted):
        seq = after.seq if after and after.bulk_id == send.id else 0
        if is_pointed(wanted):
            yield _Stretch(send, seq, None)
            continue
        width = _FIRST_LOOK
        while seq < send.last_seq:
            yield _Stretch(send, seq, seq + width)
            seq, width = seq + width, min(2 * width, _WIDEST_LOOK)


async def sends_with_recipient(
    connection: AsyncConnection, sends: Sequence[SendInQuestion], wanted: QueueFilter
) -> Sequence[SendInQuestion]:
    """Those of the sends that have the recipient asked for; all of them when none is."""
    if wanted.recipient is None:
        return sends
    has = func.lower(MESSAGE.address) == func.lower(wanted.recipient)
    found: set[str] = set()
    for start in range(0, len(sends), SENDS_AT_ONCE):
        ids = [send.id for send in sends[start : start + SENDS_AT_ONCE]]
        found.update(
            (await connection.execute(select(MESSAGE.bulk_id).where(MESSAGE.bulk_id.in_(ids), has))).scalars()
        )
    return [send for send in sends if send.id in found]


async def _meant_in(
    connection: AsyncConnection, stretch: _Stretch, wanted: QueueFilter, limit: int
) -> list[Message]:
    query = messages_meant(
        MESSAGE_COLUMNS,
        stretch.send,
        wanted,
        after=stretch.after,
        before=None if stretch.last is None else stretch.last + 1,
        limit=limit,
    )
    return [] if query is None else [message_of(row) for row in await connection.execute(query)]
