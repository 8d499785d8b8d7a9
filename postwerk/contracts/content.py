"""What a bulk send says (once) and whom it is for (per recipient)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict


class Mailbox(BaseModel):
    """An address with an optional display name; the address is in normal form (rules/addresses.py)."""

    model_config = ConfigDict(frozen=True)

    email: str
    name: str = ""


class Content(BaseModel):
    """The content of a bulk send: templates and fixed headers. Immutable; stored once, by its hash."""

    model_config = ConfigDict(frozen=True)

    sender: Mailbox
    """The From header; also the envelope sender unless `return_path` is given."""
    return_path: str | None = None
    reply_to: tuple[Mailbox, ...] = ()
    subject: str
    text: str | None = None
    html: str | None = None
    variables: dict[str, Any] = {}
    """Defaults for every recipient; a recipient's own variables win."""
    headers: dict[str, str] = {}


class MailIdentity(NamedTuple):
    """What makes every attempt of a bulk send's messages the same bytes: its id and its date."""

    bulk_id: str
    accepted_at: datetime


class Recipient(NamedTuple):
    """One recipient as the composer needs it. `variables` is plain JSON data."""

    seq: int
    address: str
    name: str
    variables: dict[str, Any]
