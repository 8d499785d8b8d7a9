"""What a bulk send says (once) and whom it is for (per recipient)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict


class Mailbox(BaseModel):
    """An address with an optional display name; the address is in normal form (rules/addresses.py)."""

    model_config = ConfigDict(frozen=True)

    email: str
    name: str = ""


class Attachment(BaseModel):
    """A file that goes along: its text in UTF-8, or the id of its bytes, which are stored by themselves."""

    model_config = ConfigDict(frozen=True)

    name: str
    media_type: str
    text: str = ""
    blob: str = ""
    """SHA-256 of its bytes in hex; empty when `text` is all there is."""
    size: int = 0
    """Octets of the blob."""
    charset: str = ""
    """Of a blob that is text, where it is known."""
    content_id: str = ""
    """What `cid:` in the html names it by, without angle brackets (RFC 2392)."""
    inline: bool = False
    """Shown within the html instead of beside it."""
    method: str = ""
    """Of an invitation (RFC 5546), e.g. REQUEST: it stands among the alternatives too."""


class ListUnsubscribe(BaseModel):
    """How recipients leave a list, as List-Unsubscribe says it (RFC 2369, RFC 8058); both are templates."""

    model_config = ConfigDict(frozen=True)

    url: str | None = None
    """A page of the sender's own; without one, and not by mail alone, the link leads to us."""
    mailto: str | None = None
    one_click: bool = True
    """Also say List-Unsubscribe-Post: a POST to the link acts, without a question."""

    @property
    def own_link(self) -> bool:
        """Whether the link leads to us."""
        return self.url is None and (self.mailto is None or self.one_click)


class Signing(BaseModel):
    """Which of the keys there are sign the mail (DKIM)."""

    model_config = ConfigDict(frozen=True)

    wanted: bool = True
    selector: str = ""
    """Only this one; empty: every one of the domain."""


class StatusReport(BaseModel):
    """What became of one message, as a delivery status notification says it (RFC 3464).

    The words of a server stand here as they came; mime/report.py makes them harmless.
    """

    model_config = ConfigDict(frozen=True)

    action: Literal["failed", "delayed"]
    recipient: str
    status: str
    """RFC 3463, e.g. "5.1.1"."""
    reporting_mta: str
    remote_mta: str = ""
    """Host name or IP address of the server that answered; empty when none did."""
    reply: str = ""
    """Its last reply, "550 5.1.1 no such user"; empty when there was none."""
    trouble: str = ""
    """What is known instead of a reply, e.g. "connection refused"."""
    arrived_at: datetime
    last_attempt_at: datetime | None = None
    retry_until: datetime | None = None
    original: str = ""
    """The headers that tell which message it was, as they were sent."""


class Content(BaseModel):
    """The content of a bulk send: templates and fixed headers. Immutable; stored once, by its hash."""

    model_config = ConfigDict(frozen=True)

    sender: Mailbox
    """The From header; also the envelope sender unless `return_path` is given."""
    return_path: str | None = None
    """The envelope sender; "" is the null sender `<>`, to which nothing bounces."""
    reply_to: tuple[Mailbox, ...] = ()
    subject: str
    text: str | None = None
    html: str | None = None
    variables: dict[str, Any] = {}
    """Defaults for every recipient; a recipient's own variables win."""
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    text_from_html: bool = False
    """`text` is made from the html; where it is None, for each message from its own."""
    inline_css: bool = False
    """The styles are still to be written into the elements, message by message."""
    list_unsubscribe: ListUnsubscribe | None = None
    dkim: Signing = Signing()
    report: StatusReport | None = None
    """Makes it a delivery status notification; it has no attachments then."""

    def without_files(self) -> Content:
        """The same for who looks at its words: the bytes of its files are not needed then."""
        return self.model_copy(update={"attachments": ()}) if self.attachments else self


class MailIdentity(NamedTuple):
    """What makes every attempt of a bulk send's messages the same bytes: its id and its date."""

    bulk_id: str
    accepted_at: datetime
    """The Date: when it was accepted, or began if that was to be later."""


class Recipient(NamedTuple):
    """One recipient as the composer needs it. `variables` is plain JSON data."""

    seq: int
    address: str
    name: str
    variables: dict[str, Any]
