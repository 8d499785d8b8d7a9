"""The queue in callers' words: its messages, counts and summary; and its filter as parameters."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from api.schemas import MessageView
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.rules.queue_summary import By


class QueueMessage(MessageView):
    """A message in the queue."""

    bulk_name: str
    age: int
    """Seconds since its bulk send was accepted."""
    mark: Literal["*", "!", ""]
    """As postqueue: * being sent, ! held."""


class QueueMessageList(BaseModel):
    """A page; `next` is the `after` of the following one. It may be empty and still have more."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[QueueMessage]


class QueueStates(BaseModel):
    queued: int = 0
    sending: int = 0
    deferred: int = 0
    held: int = 0


class QueueCount(BaseModel):
    """How many messages are meant."""

    object: Literal["count"] = "count"
    count: int
    states: QueueStates
    as_of: datetime
    """When they were counted: now, or in a large queue some seconds ago."""


class QueueRow(QueueStates):
    """Messages that have something in common; `by_age`: one more than there are buckets."""

    name: str
    bulk_name: str | None = None
    """With by=bulk."""
    total: int
    oldest_at: datetime | None
    by_age: list[int]


class QueueSummary(BaseModel):
    """The queue at a glance, the largest first."""

    object: Literal["queue_summary"] = "queue_summary"
    by: By
    as_of: datetime
    """When it was counted: now, or in a large queue some seconds ago."""
    buckets: list[int]
    """Bounds of the ages, in minutes."""
    total: QueueRow
    data: list[QueueRow]
    has_more: bool


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


_TEXT = {"type": "string"}
_STATES = {"type": "string", "enum": [state.value for state in MessageState if state in OPEN_STATES]}
FILTER_PARAMETERS: dict[str, Any] = {
    "parameters": [
        _parameter("ids", _list_of(_TEXT), "ids of messages, repeated"),
        _parameter("bulk", _list_of(_TEXT), "ids of bulk sends, repeated"),
        _parameter("provider", _TEXT, "any domain of a mailbox provider, or other"),
        _parameter("domain", _TEXT, "exact domain of the address"),
        _parameter("recipient", _TEXT, "exact address, of any case"),
        _parameter("state", _list_of(_STATES), "open states, repeated"),
        _parameter("code", _TEXT, "last reply code, as 451, or 4xx"),
        _parameter("reason", _TEXT, "the last outcome's reason: docs/replies.md"),
        _parameter("q", _TEXT, "part of the address, of any case"),
        _parameter("older_than", _TEXT, "age since its bulk send was accepted: 2d, PT3H or seconds"),
        _parameter("younger_than", _TEXT, "the same, from the other side"),
        _parameter("all", {"type": "boolean"}, "every message"),
    ]
}
"""For openapi_extra: api/queue_filters.py reads them itself."""
