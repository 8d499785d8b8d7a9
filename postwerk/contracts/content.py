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
    """A text that goes along as a file, in UTF-8."""

    model_config = ConfigDict(frozen=True)

    name: str
    media_type: str
    text: str


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
    report: StatusReport | None = None
    """Makes it a delivery status notification; it has no attachments then."""


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
