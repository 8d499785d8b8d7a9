"""Why mail failed in the last hour: replies grouped by what they have in common, read along the outbox."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from api.page import words
from postwerk.archive.engine import Archive
from postwerk.archive.failures import LOOKED_AT, FailedReply, Replies, failed_replies
from postwerk.rules.reply_patterns import Kind, Repeated, added_up, pattern_of

KEPT = timedelta(hours=1)
_FRESH_SECONDS = 2.0
_AT_ONCE = 500
"""Replies that are grouped before others get their turn."""
_MOST_KINDS = 300
"""Of one minute; further ones count as one kind: servers may say something else each time."""
_OTHERS = Kind(None, "", "other replies")


class Failures(NamedTuple):
    """Kinds of replies, the most frequent first; `is_sample`: not every reply of the hour was looked at."""

    kinds: Sequence[Repeated]
    is_sample: bool


class FailureMemory:
    """Failed replies by the minute in which they came."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._minutes: dict[datetime, dict[Kind, Repeated]] = {}
        self._reached = 0
        self._left_out_at: datetime | None = None
        self._good_until = float("-inf")
        self._reading = asyncio.Lock()

    async def latest(self, now: datetime) -> Failures:
        """Those of the last hour. Raises what the archive raises."""
        async with self._reading:
            if time.monotonic() >= self._good_until:
                await self._read(now)
                self._good_until = time.monotonic() + _FRESH_SECONDS
        kinds = added_up(one for minute in self._minutes.values() for one in minute.values())
        return Failures(kinds, self._left_out_at is not None)

    async def _read(self, now: datetime) -> None:
        async with self._archive.reading() as connection:
            replies = await failed_replies(connection, self._reached, now - KEPT)
        self._note_what_was_left_out(replies, now)
        self._reached = replies.reached
        for start in range(0, len(replies.found), _AT_ONCE):
            for reply in replies.found[start : start + _AT_ONCE]:
                self._add(reply)
            await asyncio.sleep(0)
        for minute in [minute for minute in self._minutes if minute < now - KEPT]:
            del self._minutes[minute]

    def _note_what_was_left_out(self, replies: Replies, now: datetime) -> None:
        """The first look begins in the middle, and one after a long time begins there again."""
        first = not self._reached and replies.reached > LOOKED_AT
        if first or replies.left_out:
            self._left_out_at = now
        elif self._left_out_at is not None and self._left_out_at < now - KEPT:
            self._left_out_at = None

    def _add(self, reply: FailedReply) -> None:
        minute = self._minutes.setdefault(_minute(reply.at), {})
        said = f"{reply.enhanced or ''} {words.said(reply.text, reply.enhanced)}".strip()
        kind = Kind(reply.code, reply.reason, pattern_of(said))
        if kind not in minute and len(minute) >= _MOST_KINDS:
            kind = _OTHERS
        one = Repeated(kind, reply.at, reply.at, said, reply.message_id, 1, Counter({reply.lane: 1}))
        if (known := minute.get(kind)) is None:
            minute[kind] = one
        else:
            known.add(one)


def _minute(moment: datetime) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // 60 * 60, UTC)
