"""What callers get, in their words."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel

from api.request_schemas import JsonObject
from postwerk.contracts.options import NotifyMode, NotifyOn, OnAmbiguous
from postwerk.contracts.queue import Verb
from postwerk.contracts.states import BulkState, MessageState, SendKind
from postwerk.contracts.windows import Weekday


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


class WarningView(BaseModel):
    """What is taken as it is, and is perhaps not what is wanted."""

    code: str
    pointer: str
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
    warnings: list[WarningView] = []
    """What is taken, and may go wrong elsewhere."""
    workflow_id: str
    links: dict[str, str]


class UndefinedVariable(BaseModel):
    """A variable without which the mail of some recipients cannot be made."""

    name: str
    recipients: int
    """How many lack it."""
    indexes: list[int]
    """The first of them, counted from 0."""


class HeaderView(BaseModel):
    name: str
    value: str


class SampleError(BaseModel):
    """Why this recipient's mail cannot be made."""

    code: str
    detail: str


class Sample(BaseModel):
    """A recipient's mail as it would go out; bodies are cut after 100,000 characters."""

    index: int
    to: str
    subject: str | None
    text: str | None
    html: str | None
    headers: list[HeaderView]
    error: SampleError | None


class Checked(BaseModel):
    """The answer to `?dry_run=true`: nothing was stored or sent."""

    object: Literal["bulk_send_check"] = "bulk_send_check"
    total: int
    accepted: int
    rejected: int
    duplicates: int
    errors: list[RefusedRecipient]
    errors_truncated: bool
    undefined_variables: list[UndefinedVariable]
    warnings: list[WarningView]
    samples: list[Sample]


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


class WindowView(BaseModel):
    """Open on these days between these times, by the clocks of the time zone."""

    days: list[Weekday]
    start: str
    end: str
    time_zone: str


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
    SCHEDULED = "scheduled"
    OUTSIDE_WINDOW = "outside_window"
    HELD = "held"
    TEMPORAL_AWAY = "temporal_away"
    NO_WORKER = "no_worker"
    UNKNOWN_RELAY = "unknown_relay"
    RELAY_DOWN = "relay_down"
    SUSPENDED = "suspended"
    COOLING_DOWN = "cooling_down"
    DEFERRED = "deferred"
    PACED = "paced"
    COALESCING = "coalescing"
    IN_TURN = "in_turn"


class WaitsFor(BaseModel):
    """Why it waits, and until when if that is known; `detail` is for people."""

    reason: WaitReason
    until: datetime | None = None
    detail: str
    lane: str | None = None


class TemplateUsedView(BaseModel):
    """The template that a content was made from."""

    id: str
    version: int


class BulkSendView(BaseModel):
    """A bulk send as it stands."""

    object: Literal["bulk_send"] = "bulk_send"
    id: str
    kind: SendKind
    name: str
    state: BulkState
    reason: str
    accepted: int
    rejected: int
    duplicates: int
    counts: dict[MessageState, int]
    """Messages by state; they add up to `accepted`."""
    late_bounces: int
    """So many came back after they had been delivered; they stand in `counts` as bounced."""
    complaints: int
    """So many recipients called it spam."""
    waits_for: WaitsFor | None
    """The most telling reason why nothing is sent; null when it is ended, or being sent."""
    rate_now: float | None
    """Messages finished a second, lately; null when unknown."""
    eta: datetime | None
    created_at: datetime
    accepted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    send_at: datetime | None
    """When one that is to begin later begins, or began; then this is the Date of its messages."""
    deadline: datetime | None
    expires_at: datetime | None
    """What is not delivered by then ends `expired`; no held time moves the deadline beyond."""
    window: WindowView | None
    """When it is sent at all; null: at any time."""
    retry: RetryView
    rate: str | None
    relay: str
    """Name of the relay that takes its mail."""
    auto_pause: AutoPauseView | None
    max_consecutive_config_errors: int
    recipients_per_child: int | None
    on_ambiguous: OnAmbiguous
    notify: NotifyView | None
    template: TemplateUsedView | None
    """The template its content was made from; the content itself is a copy and never changes."""
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
    late: bool
    """It bounced after it had been delivered: a later server gave it back."""
    complained_at: datetime | None
    """When its recipient called it spam."""
    last_reply: ReplyView | None


class CoalescedView(BaseModel):
    """How a message stands among those of its key."""

    key: str
    rank: int
    state: Literal["waiting", "sent", "folded", "withdrawn"]
    """withdrawn: it had another end before the window's."""
    arrived_at: datetime
    """The first of a window opens it; who arrives before its end is inside."""
    into: str | None
    """The message that was sent in its place."""


class MessageDetails(MessageView):
    """The same with what is personal, and every attempt."""

    coalesced: CoalescedView | None
    variables: JsonObject
    metadata: JsonObject | None
    attempts: list[AttemptView]
    links: dict[str, str]


class TakenMessage(BaseModel):
    """The answer to a new transactional message."""

    object: Literal["message"] = "message"
    id: str
    bulk_send: str
    """The send of this one message: what is done to a whole send is done to it by this id."""
    state: MessageState
    """queued, or suppressed: its address is on the suppression list."""
    workflow_id: str
    """Of the message; while it coalesces no such workflow runs yet."""
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
