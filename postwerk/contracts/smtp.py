"""What one SMTP transaction came to, as values: stage, reply, and whether the final dot was written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far a conversation had come when it ended (RFC 5321 3.1 to 3.3)."""

    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


SESSION_STAGES = frozenset({Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
"""Stages before any message: what fails here is about the host or our settings, never about a recipient."""


class Trouble(StrEnum):
    """Why there is no readable reply."""

    REFUSED = "refused"
    """No TCP connection: refused, unreachable, or the name does not resolve."""
    TIMEOUT = "timeout"
    LOST = "lost"
    """The connection was closed or reset."""
    CERTIFICATE = "certificate"
    TLS = "tls"
    PROTOCOL = "protocol"
    """Not SMTP: garbage, codes outside 200-599, contradicting lines, a reply nobody asked for."""
    LOCAL = "local"
    """Refused by ourselves before it went out, e.g. 8-bit content where 8BITMIME is not offered."""
    TOO_BIG = "too_big"
    """Larger than the server's SIZE (RFC 1870): not sent."""
    SMTPUTF8_NOT_OFFERED = "smtputf8_not_offered"
    """An address needs SMTPUTF8 (RFC 6531), and the server does not offer it: not sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said. `text` is clean: printable, at most 1 KB and ten lines."""

    code: int
    enhanced: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The end of one SMTP transaction, or of the attempt to get a connection for it.

    Exactly one of `reply` and `trouble` is set. `dot_written` without a reply means ambiguous (RFC 1047).
    """

    stage: Stage
    reply: Reply | None = None
    trouble: Trouble | None = None
    detail: str = ""
    """One clean line for people when there is no reply, e.g. "connection refused"."""
    dot_written: bool = False
    host: str = ""
    tls: str = ""
    """Protocol version such as "TLSv1.3", empty for clear text."""
    milliseconds: int = 0
