"""What callers send, in their words."""

from __future__ import annotations

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


class CoalesceRequest(_Request):
    """Of the messages with this key that arrive within the window only one is sent: the highest rank's."""

    key: StrictStr = Field(min_length=1, max_length=200)
    """Whatever belongs together; two API keys never share one."""
    window: DurationInput
    """From the first message on: one second to seven days."""
    rank: StrictInt = Field(default=0, ge=-(2**53), le=2**53)
    """Among equals the latest is sent."""


class SendRequest(_Request):
    """What a mail says and how it is to be carried. `subject`, `text` and `html` are templates."""

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
    deadline: DurationInput = None
    """One minute to seven days; five days if left out."""
    retry: RetryInput = RetryRequest()
    """A preset's name, or a schedule."""
    relay: StrictStr | None = Field(default=None, max_length=50)
    """Which relay takes its mail, by a name of the settings; the default one if left out."""
    max_consecutive_config_errors: StrictInt = Field(default=MOST_CONFIG_ERRORS, ge=1, le=10_000)
    """So many refusals of our own settings or sender in a row pause the send."""
    on_ambiguous: OnAmbiguous = OnAmbiguous.RESEND
    notify: NotifyRequest | None = None
    """Left out, nobody is told."""


class BulkSendRequest(SendRequest):
    """One content for any number of recipients."""

    recipients: list[RecipientRequest] = []
    recipients_per_child: StrictInt | None = Field(default=None, ge=1, le=1000)
    rate: StrictStr | None = Field(default=None, max_length=50)
    """Messages at most: "100/s", "30/min,burst=5", "1000/h", "10000/d"; as fast as it goes if left out."""
    auto_pause: AutoPauseRequest | None = None
    validation: Literal["permissive", "strict"] = "permissive"
    open: StrictBool = False
    """Take further recipients by `/recipients` until `/start`."""


class MessageRequest(SendRequest):
    """One transactional mail."""

    to: MailboxInput
    coalesce: CoalesceRequest | None = None
    """Left out, it is sent at once."""
