"""What the queue's screen shows: a page of messages, and how many there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from api.dependencies import Parts
from api.ids import queue_cursor
from api.page.queue_search import Search
from api.queue_counting import count_at_hand
from api.queue_schemas import QueueMessage
from api.queue_views import queue_message
from api.waiting import context_of, with_waits
from postwerk.archive.queue_filter import UNDER_WAY
from postwerk.archive.queue_reads import queued_messages
from postwerk.archive.reads import Message
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import ENDED, MessageState

PER_PAGE = 50
PATIENCE_SECONDS = 0.1
"""So long rare messages are looked for; then the page has a link to look further."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A page; `next`: the cursor behind it."""

    rows: list[QueueMessage]
    next: str | None
    total: int | None
    """How many match in all; None: more than anybody counts in passing."""
    as_of: datetime
    queue: Counter[MessageState]
    """The whole queue by state."""

    @property
    def waiting(self) -> int:
        return self.queue.total()


async def shown(parts: Parts, search: Search, after: str | None) -> Shown:
    """Raises InvalidRequest for a wrong cursor."""
    messages, further = await _messages(parts, search, after)
    async with parts.archive.reading() as connection:
        context = await context_of(parts, connection, messages)
    rows = [queue_message(told) for told in await with_waits(parts, messages, context)]
    everything = await count_at_hand(parts, QueueFilter())
    queue = everything.states if everything else Counter()
    if search.ended or search.wrong:
        return Shown(rows, further, None, parts.now(), queue)
    found = everything if search.wanted.is_empty else await count_at_hand(parts, search.wanted)
    total = found.states.total() if found else None
    if found is None and further is None and after is None:
        total = len(rows)
    return Shown(rows, further, total, found.as_of if found else parts.now(), queue)


async def _messages(parts: Parts, search: Search, after: str | None) -> tuple[list[Message], str | None]:
    if search.wrong:
        return [], None
    async with parts.archive.reading() as connection:
        page = await queued_messages(
            connection,
            search.wanted,
            parts.now(),
            limit=PER_PAGE,
            after=queue_cursor(after),
            patience=PATIENCE_SECONDS,
            states=(*UNDER_WAY, *ENDED) if search.ended else UNDER_WAY,
        )
    return page.messages, f"{page.next.bulk_id}.{page.next.seq}" if page.next else None
