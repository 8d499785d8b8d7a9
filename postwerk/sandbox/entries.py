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

# Letters in both cases one by one: with re.IGNORECASE it takes twice as long, for every mail.
_NAMED = re.compile(
    rb"\n(?:([Mm][Ee][Ss][Ss][Aa][Gg][Ee]-[Ii][Dd])|([Ss][Uu][Bb][Jj][Ee][Cc][Tt])|[Ff][Rr][Oo][Mm]):([^\r\n]*)"
)
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
    sender: str
    """The From field as it came, encoded words and all: they are decoded when somebody looks."""
    conversation: int


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
    mail_from: str = ""
    conversation: int = 0


@dataclass(frozen=True, slots=True)
class Abandoned:
    """One recipient neither taken nor refused: the client or the line gave the transaction up."""

    at: float
    recipient: str
    """Empty when none was named yet."""
    attempt: int
    stage: str
    """The last step that was taken: mail, rcpt or data."""
    mail_from: str = ""
    conversation: int = 0


@dataclass(frozen=True, slots=True)
class Conversation:
    """Who talks on one connection; transactions name it by its number."""

    id: int
    at: float
    client: str
    """Address and port."""
    said: str
    """Its greeting, such as "EHLO mx.example.com"; empty when it was turned away before."""
    login: str
    """The user it logged in as; empty without AUTH."""


def taken(
    number: int,
    at: float,
    mail_from: str,
    recipients: Sequence[tuple[str, int]],
    raw: bytes,
    verdict: str,
    conversation: int = 0,
) -> Taken:
    """Make the ledger entry of a message from its exact bytes."""
    message_id, subject, sender = _named_headers(raw.partition(b"\r\n\r\n")[0])
    return Taken(
        id=number,
        at=at,
        mail_from=mail_from,
        recipients=recipients,
        verdict=verdict,
        message_id=message_id,
        subject=readable(subject),
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        packed=zlib.compress(raw, _FASTEST),
        sender=sender,
        conversation=conversation,
    )


def _named_headers(head: bytes) -> tuple[str, str, str]:
    """Message-ID, Subject and From, each the first of its name and as it came; empty when there is none."""
    unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    message_id = subject = sender = None
    for is_message_id, is_subject, value in _NAMED.findall(b"\n" + unfolded):
        if is_message_id:
            message_id = value if message_id is None else message_id
        elif is_subject:
            subject = value if subject is None else subject
        elif sender is None:
            sender = value
    return _text(message_id), _text(subject), _text(sender)


def _text(value: bytes | None) -> str:
    return b" ".join(value.split()).decode("utf-8", "replace")[:_LONGEST_HEADER] if value else ""


def readable(header: str) -> str:
    """Decode encoded words (RFC 2047); what cannot be decoded stays as it came."""
    if "=?" not in header:
        return header
    try:
        decoded = str(make_header(decode_header(header)))
    except (HeaderParseError, LookupError, ValueError):
        return header
    # The charset `unknown-8bit` yields lone surrogates, which neither SQLite nor a page can hold.
    return decoded.encode("utf-8", "replace").decode()
