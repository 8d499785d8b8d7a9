"""Deferred messages get the time that their bulk send's changed retry schedule says, 2,000 a commit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, text

from postwerk.archive.bulks import ROWS_PER_COMMIT
from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.delivery import bulk_options
from postwerk.archive.engine import Archive
from postwerk.archive.given import Given
from postwerk.archive.tables import RARE_STATES
from postwerk.contracts.options import RetrySchedule, earlier
from postwerk.rules.rescheduling import LastRefusal, wait_anew
from postwerk.rules.retry_schedule import next_attempt_at

_TOGETHER = 250
"""Neighbours in a lane are mostly of one batch: they share their jitter, and come back together."""
# Who is due already stays due, be it by an operator's word.
_WAITING = text(f"""
    SELECT message.seq, message.lane, message.attempts, message.deferrals, message.changed_at,
        message.next_attempt_at, message.last_reason, message.last_stage, message.last_code,
        message.last_enhanced, message.last_text,
        bulk_send.deadline + message.extra AS deadline
    FROM message JOIN bulk_send ON bulk_send.id = message.bulk_id
    WHERE message.bulk_id = :bulk_id AND message.state = 'deferred' AND message.{RARE_STATES}
        AND message.seq > :after
    ORDER BY message.seq LIMIT :limit
""")
# Unless it was tried again meanwhile, or somebody made it due.
_MOVE = Given(
    """
    UPDATE message SET next_attempt_at = given.next_at FROM {given}
    WHERE message.bulk_id = given.bulk_id AND message.seq = given.seq AND message.state = 'deferred'
        AND message.attempts = given.attempts AND message.next_attempt_at = given.was
    """,
    bulk_id="text", seq="bigint", attempts="int", was="bigint", next_at="bigint",
)  # fmt: skip


class Rescheduled(NamedTuple):
    """How many messages got another time, and the last one looked at; None when there are no more."""

    moved: int
    last_seq: int | None


async def reschedule(archive: Archive, bulk_id: str, schedule: RetrySchedule, now: datetime) -> int:
    """All of a bulk send's waiting messages, in small commits; answers how many got another time."""
    moved, after = 0, 0
    while True:
        some = await reschedule_some(archive, bulk_id, schedule, now, after=after)
        moved += some.moved
        if some.last_seq is None:
            return moved
        after = some.last_seq


async def reschedule_some(
    archive: Archive, bulk_id: str, schedule: RetrySchedule, now: datetime, *, after: int
) -> Rescheduled:
    """The next 2,000 deferred messages behind seq `after`. Safe to repeat."""
    async with archive.reading() as connection:
        where = {"bulk_id": bulk_id, "after": after, "limit": ROWS_PER_COMMIT}
        waiting = (await connection.execute(_WAITING, where)).all()
        found = await bulk_options(connection, bulk_id)
    expires_at = found[0].expires_at if found else None
    moves = list(_moves(bulk_id, waiting, schedule, to_microseconds(now), expires_at))
    if moves:
        async with archive.writing() as connection:
            await connection.run_sync(lambda sync: sync.execute(*_MOVE.bind(sync, moves)))
    return Rescheduled(len(moves), waiting[-1].seq if len(waiting) == ROWS_PER_COMMIT else None)


def _moves(
    bulk_id: str,
    waiting: Sequence[Row[Any]],
    schedule: RetrySchedule,
    now: int,
    expires_at: datetime | None,
) -> Iterator[dict[str, Any]]:
    for row in waiting:
        if row.next_attempt_at is None or row.next_attempt_at <= now:
            continue
        chance = random.Random(f"{bulk_id} {row.lane} {row.seq // _TOGETHER}").random()
        next_at = _next_at(row, schedule, chance, expires_at)
        if next_at is not None and next_at != row.next_attempt_at:
            yield {
                "bulk_id": bulk_id,
                "seq": row.seq,
                "attempts": row.attempts,
                "was": row.next_attempt_at,
                "next_at": next_at,
            }


def _next_at(
    row: Row[Any], schedule: RetrySchedule, chance: float, expires_at: datetime | None
) -> int | None:
    """Microseconds: counted from the refusal, and never past its deadline; None: it waits as it does."""
    last = LastRefusal(row.last_reason, row.last_stage, row.last_code, row.last_enhanced, row.last_text)
    wait = wait_anew(last, schedule, deferrals=row.deferrals, attempts=row.attempts, chance=chance)
    if wait is None:
        return None
    refused_at = from_microseconds(row.changed_at)
    if row.deadline is None:
        return to_microseconds(refused_at + wait)
    deadline = earlier(from_microseconds(row.deadline), expires_at)
    return to_microseconds(next_attempt_at(wait, refused_at, deadline))
