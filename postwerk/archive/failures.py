"""Replies that did not deliver, read along the outbox: what came since the last look, and so much at most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.contracts.events import EventType

LOOKED_AT = 10_000
"""So many events at most at one look: of more, the latest."""
_FAILED = [
    EventType.MESSAGE_DEFERRED.value,
    EventType.MESSAGE_BOUNCED.value,
    EventType.MESSAGE_FAILED.value,
    EventType.MESSAGE_UNKNOWN.value,
]
_NEWEST = text("SELECT max(id) FROM event")
_SINCE = text("""
    SELECT event.id, event.at, event.type, event.bulk_id, event.seq, message.lane, attempt.code,
        attempt.enhanced, attempt.text, attempt.reason
    FROM event
    JOIN attempt ON attempt.bulk_id = event.bulk_id AND attempt.seq = event.seq
        AND attempt.number = event.attempt
    JOIN message ON message.bulk_id = event.bulk_id AND message.seq = event.seq
    WHERE event.id > :after AND event.id <= :newest AND event.at >= :since AND event.type IN :types
""").bindparams(bindparam("types", value=_FAILED, expanding=True))


@dataclass(frozen=True, slots=True)
class FailedReply:
    """What a server said, or what went wrong, in an attempt that delivered nothing."""

    at: datetime
    type: str
    message_id: str
    lane: str
    code: int | None
    enhanced: str | None
    text: str
    reason: str


class Replies(NamedTuple):
    """`reached`: the last event looked at; `left_out`: so many before these were not looked at."""

    found: list[FailedReply]
    reached: int
    left_out: int


async def failed_replies(connection: AsyncConnection, after: int, since: datetime) -> Replies:
    """Those behind the event `after` and not before `since`; 0: the latest there are."""
    newest = (await connection.execute(_NEWEST)).scalar_one() or 0
    begin = max(after, newest - LOOKED_AT)
    where = {"after": begin, "newest": newest, "since": to_microseconds(since)}
    rows = await connection.execute(_SINCE, where)
    found = [
        FailedReply(from_microseconds(at), kind, f"{bulk_id}.{seq}", lane, code, enhanced, said, reason)
        for _, at, kind, bulk_id, seq, lane, code, enhanced, said, reason in rows
    ]
    return Replies(found, newest, begin - after if after else 0)
