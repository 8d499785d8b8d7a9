"""What callers send, in their words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from api.taking.files import GivenFile, PreparedFiles, read_files
from postwerk.contracts.options import MOST_CONFIG_ERRORS, NotifyMode, NotifyOn, OnAmbiguous
from postwerk.contracts.windows import Weekday

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


TEMPLATE_NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"


class TemplateUse(_Request):
    """A template by its name; its last version unless another is named."""

    id: StrictStr = Field(pattern=TEMPLATE_NAME)
    version: StrictInt | None = Field(default=None, ge=1, le=2**31 - 1)


class TemplateRequest(_Request):
    """What a template says; what is left out, a send that uses it says itself."""

    sender: MailboxInput = Field(default=None, alias="from")
    return_path: StrictStr | None = None
    reply_to: MailboxesInput = None
    subject: StrictStr | None = None
    text: StrictStr | None = None
    """Left out, it is made from the html; "" for none."""
    html: StrictStr | None = None
    variables: JsonObject = {}
    """Defaults; those of the send and of its recipients win."""
    headers: dict[str, StrictStr] = {}
    inline_css: StrictBool = False
    """Write the styles of the html into its elements."""


_ATTACHMENTS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["filename"],
        "additionalProperties": False,
        "properties": {
            "filename": {"type": "string"},
            "content": {"type": "string", "contentEncoding": "base64"},
            "id": {"type": "string", "description": "of PUT /v1/attachments, instead of content"},
            "content_type": {"type": "string", "description": "by the file's ending if left out"},
            "content_id": {"type": "string", "description": "what `cid:` in the html names it by"},
            "inline": {
                "type": "boolean",
                "description": "shown by the html; true where there is a content_id",
            },
        },
    },
}
AttachmentsInput = Annotated[list[GivenFile], PlainValidator(read_files), WithJsonSchema(_ATTACHMENTS)]


class ContentRequest(TemplateRequest):
    """What a mail says: by itself, or by a template of which it changes what it names."""

    template: TemplateUse | None = None
    attachments: AttachmentsInput = []
    _prepared: PreparedFiles | None = PrivateAttr(default=None)

    @property
    def prepared(self) -> PreparedFiles:
        """Template and files as api/taking/content.py `resolve` found them."""
        if self._prepared is None and (self.template is not None or self.attachments):
            raise RuntimeError("a request that names a template or files is resolved first")
        return self._prepared or PreparedFiles()

    def prepare(self, files: PreparedFiles) -> None:
        self._prepared = files


class ListUnsubscribeRequest(_Request):
    """How recipients leave the list (RFC 2369, RFC 8058); `url` and `mailto` are templates.

    Without a `url` the link leads to Postwerk, which keeps bulk sends away from who follows it; with
    nothing but a `mailto` there is no link.
    """

    url: StrictStr | None = Field(default=None, min_length=1, max_length=4000)
    """A page of your own; it must act on a POST without asking back if you also say `one_click`."""
    mailto: StrictStr | None = Field(default=None, min_length=1, max_length=4000)
    one_click: StrictBool | None = None
    """Left out: true for our own link, false for yours."""


class DkimRequest(_Request):
    """Which key signs; all of the From domain if left out."""

    selector: StrictStr | None = Field(default=None, max_length=255)


class WindowRequest(_Request):
    """It is sent on these days between these times only, by the clocks of the time zone."""

    days: list[Weekday] = Field(min_length=1, max_length=7)
    start: StrictStr = Field(max_length=5)
    """"09:00"."""
    end: StrictStr = Field(max_length=5)
    """"18:00"; not after the start: on the next day. "24:00" is midnight."""
    time_zone: StrictStr = Field(max_length=64)
    """An IANA name such as "Europe/Berlin"."""


class CoalesceRequest(_Request):
    """Of the messages with this key that arrive within the window only one is sent: the highest rank's."""

    key: StrictStr = Field(min_length=1, max_length=200)
    """Whatever belongs together; two API keys never share one."""
    window: DurationInput
    """From the first message on: one second to seven days."""
    rank: StrictInt = Field(default=0, ge=-(2**53), le=2**53)
    """Among equals the latest is sent."""


class SendRequest(ContentRequest):
    """What a mail says and how it is to be carried. `subject`, `text` and `html` are templates."""

    name: StrictStr = Field(default="", max_length=200)
    """A title for people; it also stands in the Temporal Web UI, so no personal data here."""
    list_unsubscribe: ListUnsubscribeRequest | StrictBool = False
    """`true`: our own link, one click."""
    dkim: DkimRequest | StrictBool = True
    """`false`: not signed here."""
    metadata: JsonObject | None = None
    deadline: DurationInput = None
    """One minute to seven days from its beginning; five days if left out."""
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
    send_at: StrictStr | None = Field(default=None, max_length=50)
    """When it begins: RFC 3339 with a zone, up to five years ahead; at once if left out or past."""
    expires_at: StrictStr | None = Field(default=None, max_length=50)
    """RFC 3339 with a zone: what is not delivered by then ends `expired`, whatever the deadline says."""
    window: WindowRequest | None = None
    """Nothing is tried outside of it."""
    auto_pause: AutoPauseRequest | None = None
    validation: Literal["permissive", "strict"] = "permissive"
    open: StrictBool = False
    """Take further recipients by `/recipients` until `/start`."""


class MessageRequest(SendRequest):
    """One transactional mail."""

    to: MailboxInput
    coalesce: CoalesceRequest | None = None
    """Left out, it is sent at once."""
