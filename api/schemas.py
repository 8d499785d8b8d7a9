"""What callers send and get, in their words."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from postwerk.contracts.options import MOST_CONFIG_ERRORS, NotifyMode, NotifyOn, OnAmbiguous
from postwerk.contracts.queue import Verb
from postwerk.contracts.states import BulkState, MessageState

_MAILBOX = {
    "anyOf": [
        {"type": "string", "description": 'an address, or "Name <address>"'},
        {
            "type": "object",
            "required": ["email"],
            "additionalProperties": False,
            "properties": {"email": {"type": "string"}, "name": {"type": "string"}},
        },
    ]
}
_DURATION = {
    "anyOf": [
        {"type": "number", "description": "seconds"},
        {"type": "string", "description": '"90m", "1d12h" or ISO 8601 such as "P5D"'},
    ]
}
MailboxInput = Annotated[Any, WithJsonSchema(_MAILBOX)]
MailboxesInput = Annotated[
    Any, WithJsonSchema({"anyOf": [*_MAILBOX["anyOf"], {"type": "array", "items": _MAILBOX}]})
]
DurationInput = Annotated[Any, WithJsonSchema(_DURATION)]
JsonObject = dict[str, Any]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RecipientRequest(_Request):
    """One recipient. Its variables win over those of the bulk send."""

    to: MailboxInput
    name: StrictStr | None = Field(default=None, max_length=256)
    variables: JsonObject | None = None
    metadata: JsonObject | None = None


class RetryRequest(_Request):
    """Waits between attempts: `initial`, then times `factor` each, at most `maximum`, +-`jitter`.

    `preset` is where one starts from ("bulk": 5 minutes to 3 hours, "postfix": 300 s to 4000 s); `waits`
    names every wait by itself instead, the last one repeats.
    """

    preset: Literal["bulk", "postfix"] | None = None
    waits: list[DurationInput] | None = Field(default=None, min_length=1, max_length=100)
    initial: DurationInput = None
    factor: float | None = Field(default=None, ge=1, le=10, strict=True)
    maximum: DurationInput = None
    jitter: float | None = Field(default=None, ge=0, le=0.5, strict=True)


RetryInput = Annotated[
    RetryRequest,
    BeforeValidator(
        lambda given: {"preset": given} if isinstance(given, str) else given,
        json_schema_input_type=RetryRequest | Literal["bulk", "postfix"],
    ),
]
"""A preset's name, or a schedule."""


class AutoPauseRequest(_Request):
    """Pause by itself when more than this share of at least `min_sent` attempts bounced."""

    bounce_rate: float = Field(default=0.05, gt=0, le=1, strict=True)
    min_sent: StrictInt = Field(default=100, ge=1, le=1_000_000_000)


class NotifyRequest(_Request):
    """Whom to tell by mail, of what, and how: one digest for the send, or a DSN for each message."""

    to: MailboxesInput
    """At most ten."""
    on: list[NotifyOn] = Field(default=[NotifyOn.FAILURE], min_length=1)
    mode: NotifyMode = NotifyMode.DIGEST


class BulkSendRequest(_Request):
    """One content for any number of recipients. `subject`, `text` and `html` are templates."""

    name: StrictStr = Field(default="", max_length=200)
    """A title for people; it also stands in the Temporal Web UI, so no personal data here."""
    sender: MailboxInput = Field(alias="from")
    return_path: StrictStr | None = None
    reply_to: MailboxesInput = None
    subject: StrictStr
    text: StrictStr | None = None
    html: StrictStr | None = None
    variables: JsonObject = {}
    headers: dict[str, StrictStr] = {}
    metadata: JsonObject | None = None
    recipients: list[RecipientRequest] = []
    recipients_per_child: StrictInt | None = Field(default=None, ge=1, le=1000)
    deadline: DurationInput = None
    """One minute to seven days; five days if left out."""
    retry: RetryInput = RetryRequest()
    """A preset's name, or a schedule."""
    rate: StrictStr | None = Field(default=None, max_length=50)
    """Messages at most: "100/s", "30/min,burst=5", "1000/h", "10000/d"; as fast as it goes if left out."""
    relay: StrictStr | None = Field(default=None, max_length=50)
    """Which relay takes its mail, by a name of the settings; the default one if left out."""
    auto_pause: AutoPauseRequest | None = None
    max_consecutive_config_errors: StrictInt = Field(default=MOST_CONFIG_ERRORS, ge=1, le=10_000)
    """So many refusals of our own settings or sender in a row pause the send."""
    on_ambiguous: OnAmbiguous = OnAmbiguous.RESEND
    notify: NotifyRequest | None = None
    """Left out, nobody is told."""
    validation: Literal["permissive", "strict"] = "permissive"
    open: StrictBool = False
    """Take further recipients by `/recipients` until `/start`."""


class RefusedRecipient(BaseModel):
    """A recipient that was not taken; `index` counts from 0."""

    index: int
    to: str
    code: str
    detail: str


class RefusedRow(BaseModel):
    """A row that was not taken: the line of NDJSON; in CSV the row a spreadsheet shows (header: 1)."""

    row: int
    to: str
    code: str
    detail: str


class Taken(BaseModel):
    """The answer to a new bulk send."""

    object: Literal["bulk_send"] = "bulk_send"
    id: str
    status: BulkState
    total: int
    accepted: int
    rejected: int
    duplicates: int
    suppressed: int | None
    """Those of `accepted` who are on the suppression list and get nothing; null: known when it is planned."""
    errors: list[RefusedRecipient]
    """The first 1,000."""
    errors_truncated: bool
    workflow_id: str
    links: dict[str, str]


class Checked(BaseModel):
    """The answer to `?dry_run=true`: nothing was stored or sent."""

    object: Literal["bulk_send_check"] = "bulk_send_check"
    total: int
    accepted: int
    rejected: int
    duplicates: int
    errors: list[RefusedRecipient]
    errors_truncated: bool


class PartTaken(BaseModel):
    """The answer to a part of a list."""

    object: Literal["recipients_part"] = "recipients_part"
    bulk_send: str
    accepted: int
    rejected: int
    duplicates: int
    errors: list[RefusedRow]
    errors_truncated: bool
    total_accepted: int


class RetryView(BaseModel):
    """The retry schedule, in seconds."""

    initial: float
    factor: float
    maximum: float
    jitter: float
    waits: list[float]
    """Every wait by itself, if it was given so."""


class AutoPauseView(BaseModel):
    bounce_rate: float
    min_sent: int


class MailboxView(BaseModel):
    """An address with its display name, which may be empty."""

    email: str
    name: str


class NotifyView(BaseModel):
    """Whom the send tells what."""

    to: list[MailboxView]
    on: list[NotifyOn]
    mode: NotifyMode


class WaitReason(StrEnum):
    """Why nothing of it is sent just now."""

    NOT_STARTED = "not_started"
    HELD = "held"
    TEMPORAL_AWAY = "temporal_away"
    NO_WORKER = "no_worker"
    UNKNOWN_RELAY = "unknown_relay"
    RELAY_DOWN = "relay_down"
    SUSPENDED = "suspended"
    COOLING_DOWN = "cooling_down"
    DEFERRED = "deferred"
    PACED = "paced"
    IN_TURN = "in_turn"


class WaitsFor(BaseModel):
    """Why it waits, and until when if that is known; `detail` is for people."""

    reason: WaitReason
    until: datetime | None = None
    detail: str
    lane: str | None = None


class BulkSendView(BaseModel):
    """A bulk send as it stands."""

    object: Literal["bulk_send"] = "bulk_send"
    id: str
    name: str
    state: BulkState
    reason: str
    accepted: int
    rejected: int
    duplicates: int
    counts: dict[MessageState, int]
    """Messages by state; they add up to `accepted`."""
    waits_for: WaitsFor | None
    """The most telling reason why nothing is sent; null when it is ended, or being sent."""
    rate_now: float | None
    """Messages finished a second, lately; null when unknown."""
    eta: datetime | None
    created_at: datetime
    accepted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    retry: RetryView
    rate: str | None
    relay: str
    """Name of the relay that takes its mail."""
    auto_pause: AutoPauseView | None
    max_consecutive_config_errors: int
    recipients_per_child: int | None
    on_ambiguous: OnAmbiguous
    notify: NotifyView | None
    notice_of: str | None
    """The bulk send that this one tells of; null for one that a caller made."""
    metadata: JsonObject | None
    workflow_id: str
    links: dict[str, str]


class ReplyView(BaseModel):
    """What a server said last."""

    stage: str | None
    code: int | None
    enhanced: str | None
    text: str | None


class AttemptView(BaseModel):
    """One SMTP transaction."""

    number: int
    started_at: datetime
    milliseconds: int
    outcome: str
    reason: str
    stage: str
    code: int | None
    enhanced: str | None
    text: str
    host: str
    tls: str


class OperationNoteView(BaseModel):
    """What an operator last did to a message."""

    id: str
    verb: Verb
    by: str
    reason: str
    at: datetime


class MessageView(BaseModel):
    """One mail to one recipient."""

    object: Literal["message"] = "message"
    id: str
    bulk_send: str
    seq: int
    to: str
    name: str
    lane: str
    state: MessageState
    reason: str | None
    """Name of the last outcome's reason: docs/replies.md."""
    attempt_count: int
    deferrals: int
    """Temporary refusals that count for the retry schedule; what was about the destination does not."""
    next_attempt_at: datetime | None
    """When it is tried again, the rest of its lane and of the relay included."""
    waits_for: WaitsFor | None
    """Why it is not sent right now; null when it is final, or being sent."""
    accepted_at: datetime | None
    """When its bulk send was accepted; its age counts from here."""
    deadline: datetime | None
    """Its own. While it or its bulk send is held: as if it were released now; null before that has begun."""
    operation: OperationNoteView | None
    """The last operation of an operator on it."""
    changed_at: datetime | None
    possible_duplicate: bool
    last_reply: ReplyView | None


class MessageDetails(MessageView):
    """The same with what is personal, and every attempt."""

    variables: JsonObject
    metadata: JsonObject | None
    attempts: list[AttemptView]
    links: dict[str, str]


class BulkSendList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[BulkSendView]


class MessageList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[MessageView]


class Ready(BaseModel):
    """Whether mail can be taken and sent right now, part by part."""

    status: Literal["ready", "not_ready"]
    archive: str
    temporal: str
    workers: int | None
