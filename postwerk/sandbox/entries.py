"""The rows of the ledger, before they are written."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header

ACCEPTED = "accepted"
NO_REPLY = "dot seen, no reply"
REFUSED = "refused"
ABANDONED = "abandoned"

_MESSAGE_ID = re.compile(rb"^message-id:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(rb"^subject:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_LONGEST_HEADER = 1000
_FASTEST = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """One message whose final dot was seen: one row for each recipient, the bytes once."""

    id: int
    """The row of the first recipient; the others follow without a gap."""
    at: float
    mail_from: str
    recipients: Sequence[tuple[str, int]]
    """Address and the number of its attempt."""
    verdict: str
    message_id: str
    subject: str
    size: int
    sha256: str
    packed: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """One recipient that was told no, or hung up on (code 0)."""

    at: float
    recipient: str
    """Empty when a whole connection was refused."""
    attempt: int
    """0 when a rate limit or a rule for the domain answered before the address was looked at."""
    stage: str
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """One recipient neither taken nor refused: the client or the line gave the transaction up."""

    at: float
    recipient: str
    """Empty when none was named yet."""
    attempt: int
    stage: str
    """The last step that was taken: mail, rcpt or data."""


def taken(
    number: int, at: float, mail_from: str, recipients: Sequence[tuple[str, int]], raw: bytes, verdict: str
) -> Taken:
    """Make the ledger entry of a message from its exact bytes."""
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    return Taken(
        id=number,
        at=at,
        mail_from=mail_from,
        recipients=recipients,
        verdict=verdict,
        message_id=_header(_MESSAGE_ID, head),
        subject=_readable(_header(_SUBJECT, head)),
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        packed=zlib.compress(raw, _FASTEST),
    )


def _header(pattern: re.Pattern[bytes], head: bytes) -> str:
    match = pattern.search(head)
    return b" ".join(match[1].split()).decode("utf-8", "replace")[:_LONGEST_HEADER] if match else ""


def _readable(subject: str) -> str:
    """Decode encoded words (RFC 2047); what cannot be decoded stays as it came."""
    if "=?" not in subject:
        return subject
    try:
        decoded = str(make_header(decode_header(subject)))
    except (HeaderParseError, LookupError, ValueError):
        return subject
    # The charset `unknown-8bit` yields lone surrogates, which neither SQLite nor a page can hold.
    return decoded.encode("utf-8", "replace").decode()
