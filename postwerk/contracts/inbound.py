"""Mail that comes back: what it is, how far it was processed, and what was read in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class InboundState(StrEnum):
    """How far a mail that came back is."""

    WAITING = "waiting"
    """Stored, and still to be read; or read, and its message has no end yet."""
    DONE = "done"
    """It changed something."""
    IGNORED = "ignored"
    """It changed nothing; `detail` says why."""
    UNPARSED = "unparsed"
    """Nobody could read it; it is kept as it came."""


class InboundKind(StrEnum):
    """What a mail that came back is."""

    BOUNCE = "bounce"
    DELAY = "delay"
    """A later server still tries: nothing follows from it."""
    COMPLAINT = "complaint"
    """A feedback report (RFC 5965)."""
    AUTO_REPLY = "auto_reply"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Reported:
    """What a delivery status notification says of one recipient (RFC 3464 2.3)."""

    recipient: str = ""
    """Final-Recipient, without its type."""
    original: str = ""
    """Original-Recipient, without its type."""
    action: str = ""
    """failed, delayed, delivered, relayed or expanded; in lower case."""
    status: str = ""
    """Enhanced code (RFC 3463) of the field Status."""
    diagnostic: str = ""
    """Diagnostic-Code, without its type."""
    remote_mta: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was read in a mail. Everything in it is what a stranger says."""

    kind: InboundKind
    reported: tuple[Reported, ...] = ()
    reporting_mta: str = ""
    auto_submitted: bool = False
    """The field Auto-Submitted (RFC 3834) says that no person wrote it."""
    feedback: str = ""
    """Feedback-Type of a complaint: abuse, fraud, not-spam, ...; in lower case."""
    message_id: str = ""
    """Message-ID of the mail it is about."""
    traces: tuple[str, ...] = ()
    """Values of fields of the mail it is about in which a token may stand."""
    how: str = ""
    """By what it was recognised: dsn, arf, or the words of a server."""
