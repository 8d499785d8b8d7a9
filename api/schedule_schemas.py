"""Schedules in callers' words: what is sent again and again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, WithJsonSchema

from api.request_schemas import DurationInput, JsonObject
from postwerk.contracts.schedules import ScheduleState

_BULK_SEND = {"type": "object", "description": "a BulkSendRequest"}
BulkSendInput = Annotated[JsonObject, WithJsonSchema(_BULK_SEND)]
"""Read apart: its recipients may be many."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class SpecRequest(_Request):
    """When: by `cron`, or `every` so long."""

    cron: Annotated[StrictStr, Field(max_length=200)] | None = None
    """Minute, hour, day of the month, month, day of the week: "0 8 * * mon"."""
    every: DurationInput = None
    """One second to a year: "1d". Counted from `start_at`, or from when it is said."""
    time_zone: Annotated[StrictStr, Field(max_length=64)] = "UTC"
    """An IANA name, for `cron`."""
    start_at: Annotated[StrictStr, Field(max_length=50)] | None = None
    """RFC 3339 with a zone: not before."""
    end_at: Annotated[StrictStr, Field(max_length=50)] | None = None
    """RFC 3339 with a zone: not after."""
    jitter: DurationInput = None
    """Late by chance, by so much at most; an hour at most."""


class ScheduleRequest(_Request):
    """A bulk send that is to be sent again and again."""

    name: Annotated[StrictStr, Field(max_length=200)] = ""
    """A title for people; it also stands in the Temporal Web UI, so no personal data here."""
    spec: SpecRequest
    bulk_send: BulkSendInput
    """As for `POST /v1/bulk-sends`, recipients included; without `send_at`, `expires_at` and `open`."""


class ScheduleChange(_Request):
    """What is named is changed, for the sends to come."""

    name: Annotated[StrictStr, Field(max_length=200)] | None = None
    spec: SpecRequest | None = None
    bulk_send: BulkSendInput | None = None
    """All of it anew, recipients included."""
    reason: Annotated[StrictStr, Field(min_length=1, max_length=500)] | None = None
    """Why, for who reads the audit trail."""


class SpecView(BaseModel):
    """When, as it was said; lengths of time in seconds."""

    cron: str | None
    every: float | None
    time_zone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter: float


class SentView(BaseModel):
    """What is sent."""

    name: str
    sender: str
    subject: str
    recipients: int


class ScheduleView(BaseModel):
    """A schedule as it stands."""

    object: Literal["schedule"] = "schedule"
    id: str
    name: str
    state: ScheduleState
    reason: str
    """Why it is paused."""
    spec: SpecView
    bulk_send: SentView
    next_at: list[datetime] | None
    """When it comes next, five times at most; null while Temporal does not know, and in lists."""
    last_at: datetime | None
    """For when the last bulk send was made."""
    last_bulk_send: str | None
    in_force: bool
    """Whether Temporal knows it as it is here; if not, it will within a minute of being there again."""
    created_at: datetime
    changed_at: datetime | None
    links: dict[str, str]


class ScheduleList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[ScheduleView]


class ScheduleFired(BaseModel):
    """A send of it is being made now."""

    object: Literal["schedule_firing"] = "schedule_firing"
    schedule: str
    bulk_send: str
    """Its id; it is there in a moment."""
    workflow_id: str
