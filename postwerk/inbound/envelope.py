"""The envelope of a mail that came without one, by the fields that the last server put before it."""

from __future__ import annotations

import re
from typing import NamedTuple

from postwerk.smtp.reply import clean_line

_LOOKED_AT = 64 * 1024
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(
    rb"(?im)^(return-path|delivered-to|x-original-to|envelope-to)[ \t]*:[ \t]*<?([^\r\n<>]{0,320})>?"
)
_RECIPIENT = (b"delivered-to", b"x-original-to", b"envelope-to")
NOBODY_KNOWS = "unknown"
"""As a sender: no bounce by this alone."""


class Envelope(NamedTuple):
    """`mail_from` is empty for the null sender; `rcpt_to` is empty if nothing says it."""

    mail_from: str
    rcpt_to: str


def envelope_of(raw: bytes, *, rcpt_to: str | None, mail_from: str | None) -> Envelope:
    """What is given counts; the rest is read in the mail."""
    head = _HEAD_END.split(raw[:_LOOKED_AT], maxsplit=1)[0]
    said: dict[bytes, str] = {}
    for name, value in _FIELD.findall(head):
        said.setdefault(name.lower(), clean_line(value.decode("utf-8", "replace")))
    if rcpt_to is None:
        rcpt_to = next((said[name] for name in _RECIPIENT if name in said), "")
    if mail_from is None:
        mail_from = said.get(b"return-path", NOBODY_KNOWS)
    return Envelope(mail_from, rcpt_to)
