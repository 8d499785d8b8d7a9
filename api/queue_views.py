"""The queue's messages, counts and rows in callers' words."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from api.message_views import message_view
from api.queue_counting import Counted, Summary
from api.queue_schemas import QueueCount, QueueMessage, QueueRow, QueueStates, QueueSummary
from api.waiting import MessageInContext
from postwerk.contracts.states import MessageState
from postwerk.rules.queue_summary import By, Row

_MARKS: dict[MessageState, Literal["*", "!"]] = {MessageState.SENDING: "*", MessageState.HELD: "!"}


def queue_message(told: MessageInContext) -> QueueMessage:
    accepted_at = told.send.accepted_at
    age = told.now - accepted_at if accepted_at else None
    return QueueMessage(
        **dict(message_view(told)),
        bulk_name=told.send.name,
        age=max(int(age.total_seconds()), 0) if age else 0,
        mark=_MARKS.get(told.message.state, ""),
    )


def queue_count(found: Counted) -> QueueCount:
    states = _states(found.states)
    return QueueCount(count=found.states.total(), states=states, as_of=found.as_of)


def queue_summary(found: Summary, by: By, minutes: list[int], limit: int) -> QueueSummary:
    names = found.names if by is By.BULK else {}
    return QueueSummary(
        by=by,
        as_of=found.as_of,
        buckets=minutes,
        total=_row(found.total, None),
        data=[_row(row, names.get(row.name)) for row in found.rows[:limit]],
        has_more=found.more or len(found.rows) > limit,
    )


def _row(row: Row, bulk_name: str | None) -> QueueRow:
    return QueueRow(
        **dict(_states(row.states)),
        name=row.name,
        bulk_name=bulk_name,
        total=row.total,
        oldest_at=row.oldest_at,
        by_age=row.by_age,
    )


def _states(counts: Counter[MessageState]) -> QueueStates:
    return QueueStates(**{name: counts[MessageState(name)] for name in QueueStates.model_fields})
