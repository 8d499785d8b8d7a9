"""What callers get about mail that came back."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from postwerk.contracts.inbound import InboundKind, InboundState


class ReportedView(BaseModel):
    """What a bounce says of one recipient (RFC 3464 2.3)."""

    recipient: str
    original: str
    action: str
    status: str
    diagnostic: str
    remote_mta: str


class FoundView(BaseModel):
    """What was read in a mail: the words of a stranger."""

    reported: list[ReportedView]
    reporting_mta: str
    auto_submitted: bool
    feedback: str
    """Type of a complaint's report (RFC 5965 7.3)."""
    message_id: str
    """Message-ID of the mail it is about."""
    how: str
    """By what it was recognised: dsn, arf, fields or words."""


class InboundView(BaseModel):
    """A mail that came back."""

    object: Literal["inbound"] = "inbound"
    id: str
    received_at: datetime
    via: str
    """lmtp, smtp or api."""
    mail_from: str
    """Envelope sender; empty for the null sender."""
    rcpt_to: str
    size: int
    state: InboundState
    kind: InboundKind | None
    """null as long as it is not read, and when it could not be."""
    message: str | None
    """Id of the message it is about, by a valid token."""
    detail: str
    """What followed from it, or why nothing did."""
    tries: int
    found: FoundView | None
    processed_at: datetime | None
    links: dict[str, str]


class InboundList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[InboundView]


class InboundTaken(BaseModel):
    """The answer to a mail that was handed over."""

    object: Literal["inbound"] = "inbound"
    id: str
    duplicate: bool
    """The same mail to the same address was handed over before: it is that one."""
    links: dict[str, str]
