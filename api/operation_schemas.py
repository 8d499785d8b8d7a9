"""Operations on messages and bulk sends, in callers' words."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, WithJsonSchema

from api.request_schemas import JsonObject
from postwerk.contracts.queue import MOST_IDS, Verb
from postwerk.contracts.states import MessageState

_FILTER = {
    "type": "object",
    "additionalProperties": False,
    "description": "Which messages are meant; criteria are joined by AND. Empty is an error: say all: true.",
    "properties": {
        "ids": {"type": "array", "items": {"type": "string"}, "maxItems": MOST_IDS},
        "bulk": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "provider": {"type": "string"},
        "domain": {"type": "string"},
        "recipient": {"type": "string"},
        "state": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "code": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "reason": {"type": "string"},
        "q": {"type": "string"},
        "older_than": {"anyOf": [{"type": "number"}, {"type": "string"}]},
        "younger_than": {"anyOf": [{"type": "number"}, {"type": "string"}]},
        "all": {"type": "boolean"},
    },
}
FilterInput = Annotated[JsonObject, WithJsonSchema(_FILTER)]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ReasonOrder(_Order):
    """Why it is done."""

    reason: StrictStr = Field(default="", max_length=500)
    """For who looks at it later; required to hold, pause, cancel and expire."""


class StartOrder(ReasonOrder):
    """When an open bulk send begins."""

    send_at: StrictStr | None = None
    """RFC 3339 with a zone, up to five years ahead; null: at once. Left out: as its request said."""


class QueueOrder(ReasonOrder):
    """What is to be done to which messages."""

    filter: FilterInput
    dry_run: StrictBool = False
    """Only count them."""


class RetryFailedOrder(ReasonOrder):
    """Which of a bulk send's failed messages are started again."""

    states: list[StrictStr] = Field(default_factory=lambda: ["bounced", "expired", "failed"], max_length=10)
    """bounced, expired and failed unless told otherwise; cancelled, suppressed and unknown may be named."""
    filter: FilterInput = Field(default_factory=dict)
    """Only those of them; provider, domain, recipient, code and reason may be given."""
    dry_run: StrictBool = False


class OperationView(BaseModel):
    """An operation as it stands."""

    object: Literal["operation"] = "operation"
    id: str
    verb: Verb
    state: Literal["running", "done", "failed"]
    filter: dict[str, Any]
    reason: str
    by: str
    matched: int | None
    """Messages meant; null while a large one is not counted yet."""
    changed: int
    skipped: int
    """Meant, but not to be changed any more: they had ended, or were as wanted already."""
    created_at: datetime
    finished_at: datetime | None
    detail: str
    """Why it failed."""
    links: dict[str, str]


class OperationList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[OperationView]


class DryRun(BaseModel):
    """How many messages are meant; nothing was changed."""

    object: Literal["dry_run"] = "dry_run"
    verb: Verb
    matched: int
    states: dict[MessageState, int]
    bulk_sends: int
