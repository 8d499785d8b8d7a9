"""Reading SMTP command lines: their arguments as values, or the refusal they earn (RFC 5321 4.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from postwerk.sandbox.behaviour import Answer

_PATH = r"<((?:\"(?:[^\"\\\x00-\x1f]|\\[^\x00-\x1f])*\"|[^<>\"\x00-\x20\x7f])*)>"
_FROM = re.compile(rf"FROM: ?{_PATH}((?: +\S+)*) *", re.IGNORECASE)
_TO = re.compile(rf"TO: ?{_PATH}((?: +\S+)*) *", re.IGNORECASE)

# What we offer, and what DSN (RFC 3461) and AUTH (RFC 4954) clients may add; the latter two are read over.
_MAIL_PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"})
_RCPT_PARAMETERS = frozenset({"NOTIFY", "ORCPT"})

_SYNTAX = Answer(501, "5.5.4 Syntax: MAIL FROM:<address> or RCPT TO:<address>")
_UNKNOWN_PARAMETER = Answer(555, "5.5.4 Parameter not recognised")
_BAD_PARAMETER = Answer(501, "5.5.4 Parameter has a bad value")
_NEEDS_SMTPUTF8 = Answer(553, "5.6.7 Address is not ASCII and SMTPUTF8 was not asked for")


@dataclass(slots=True)
class Envelope:
    """One transaction as far as it has come."""

    mail_from: str
    declared_bytes: int = 0
    smtputf8: bool = False
    recipients: list[tuple[str, int]] = field(default_factory=list)
    """Address and the number of its attempt."""
    refused: bool = False
    """A recipient was told no, so the ledger knows of this transaction."""


def read_mail(argument: bytes) -> Envelope | Answer:
    """Read what follows `MAIL`."""
    read = _read(_FROM, argument, _MAIL_PARAMETERS)
    if isinstance(read, Answer):
        return read
    address, parameters = read
    size = parameters.get("SIZE", "0")
    if (
        not size.isdecimal()
        or len(size) > 20
        or parameters.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME")
    ):
        return _BAD_PARAMETER
    smtputf8 = "SMTPUTF8" in parameters
    if not address.isascii() and not smtputf8:
        return _NEEDS_SMTPUTF8
    return Envelope(address, int(size), smtputf8)


def read_rcpt(argument: bytes, smtputf8: bool) -> str | Answer:
    """Read what follows `RCPT`."""
    read = _read(_TO, argument, _RCPT_PARAMETERS)
    if isinstance(read, Answer):
        return read
    address, _ = read
    if not address:
        return _SYNTAX
    return address if smtputf8 or address.isascii() else _NEEDS_SMTPUTF8


def _read(
    pattern: re.Pattern[str], argument: bytes, known: frozenset[str]
) -> tuple[str, dict[str, str]] | Answer:
    try:
        match = pattern.fullmatch(argument.decode())
    except UnicodeDecodeError:
        return _SYNTAX
    if match is None:
        return _SYNTAX
    pairs = (word.partition("=") for word in match[2].split())
    parameters = {name.upper(): value for name, _, value in pairs}
    return (match[1], parameters) if parameters.keys() <= known else _UNKNOWN_PARAMETER
