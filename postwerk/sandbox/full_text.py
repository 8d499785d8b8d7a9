"""What only the mail itself tells: its words, and whether something is attached."""

from __future__ import annotations

import binascii
import re

from postwerk.sandbox.mail import read_mail
from postwerk.sandbox.search import Term

_MAYBE_ATTACHED = re.compile(
    rb"name\*?[0-9*]*\s*=|\battachment\b|^content-type:\s*(?:application|message|audio|video)/",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST_SEARCHED = 2_000_000


def holds(term: Term, raw: bytes | None) -> bool:
    """Whether a mail meets a term that needs it; `raw` is None where nothing was taken."""
    if raw is None:
        return term.negated
    met = has_attachment(raw) if term.field == "has" else says(raw, str(term.value))
    return met != term.negated


def has_attachment(raw: bytes) -> bool:
    """Whether it has a part that is neither text nor a picture of its HTML."""
    if not _MAYBE_ATTACHED.search(raw):
        return False
    return any(not attachment.inline for attachment in read_mail(raw).attachments)


def says(raw: bytes, word: str) -> bool:
    """Whether a word, in lower case, stands in the mail: in its source, or in its text and HTML decoded."""
    raw = raw[:_LONGEST_SEARCHED]
    if word in binascii.a2b_qp(raw).decode("utf-8", "replace").lower():
        return True
    if b"base64" not in raw.lower():
        return False
    mail = read_mail(raw)
    return any(word in text.lower() for text in (mail.text, mail.html) if text)
