"""What callers send and get, in their words."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema

from postwerk.contracts.options import OnAmbiguous
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
    """Waits between attempts: `initial`, then times `factor` each, at most `maximum`, +-`jitter`."""

    initial: DurationInput = None
    factor: float | None = Field(default=None, ge=1, le=10, strict=True)
    maximum: DurationInput = None
    jitter: float | None = Field(default=None, ge=0, le=0.5, strict=True)


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
    retry: RetryRequest = RetryRequest()
    on_ambiguous: OnAmbiguous = OnAmbiguous.RESEND
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
    rate_now: float | None
    """Messages finished a second, lately; null when unknown."""
    eta: datetime | None
    created_at: datetime
    accepted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    retry: RetryView
    recipients_per_child: int | None
    on_ambiguous: OnAmbiguous
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
    attempt_count: int
    next_attempt_at: datetime | None
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


REASON = "^[a-z][a-z0-9_]{0,39}$"
"""manual, complaint, unsubscribe; what a reply said, such as user_unknown; or a word of the caller's own."""
ReasonInput = Annotated[StrictStr, Field(pattern=REASON)]


class SuppressionEntryRequest(_Request):
    """An address that shall get no mail."""

    address: StrictStr
    reason: ReasonInput | None = None
    detail: StrictStr | None = None


class SuppressionRequest(_Request):
    """One `address`, or up to 10,000 `addresses`; `reason` and `detail` hold for each without its own."""

    address: StrictStr | None = None
    addresses: list[StrictStr | SuppressionEntryRequest] | None = Field(default=None, max_length=10_000)
    reason: ReasonInput = "manual"
    detail: StrictStr = ""
    """For people; control characters are left out, what is longer than 1,000 characters is cut."""


class RefusedAddress(BaseModel):
    """An address that was not listed; `row` counts JSON from 0, CSV as a spreadsheet does (header: 1)."""

    row: int
    address: str
    code: str
    detail: str


class SuppressionsTaken(BaseModel):
    """The answer to new entries."""

    object: Literal["suppressions_taken"] = "suppressions_taken"
    added: int
    known: int
    """Listed before, or twice in this list; such an entry stays as it was."""
    rejected: int
    errors: list[RefusedAddress]
    """The first 1,000."""
    errors_truncated: bool


class SuppressionView(BaseModel):
    """An address that gets no mail."""

    object: Literal["suppression"] = "suppression"
    address: str
    reason: str
    source: str
    """`reply` (a server said so during a send), `api` or `import` (a CSV list)."""
    detail: str
    bulk_send: str | None
    """During which send a server said so."""
    created_at: datetime


class SuppressionList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[SuppressionView]


class ProblemEntry(BaseModel):
    """One wrong field; `pointer` is a JSON pointer, or "?name" for a parameter."""

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[ProblemEntry]


class Ready(BaseModel):
    """Whether mail can be taken and sent right now, part by part."""

    status: Literal["ready", "not_ready"]
    archive: str
    temporal: str
    workers: int | None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a call, for the OpenAPI document."""
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _DESCRIPTIONS[status], "content": schema} for status in statuses}


_DESCRIPTIONS = {
    400: "The body cannot be read",
    404: "No such bulk send, message or entry",
    409: "The state does not allow this",
    413: "Larger than this installation takes",
    415: "A content type or encoding that is not taken",
    422: "A field or parameter is wrong; `errors` names each",
    503: "A part of the system is away; try again after `Retry-After` seconds",
}
