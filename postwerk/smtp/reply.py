"""Reads what a server says, strictly (RFC 5321 4.2), and makes it clean before anyone stores it."""

from __future__ import annotations

import re

from aiosmtplib import SMTPException, SMTPResponse

from postwerk.contracts.smtp import Reply

MAX_LINE_BYTES = 8192
MAX_REPLY_BYTES = 32768
MAX_TEXT_BYTES = 1024
MAX_TEXT_LINES = 10

# RFC 5321 4.2: three digits, then "-" (more follows), a space, or the end. 1yz is unknown to SMTP.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
# RFC 3463: class.subject.detail
_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.])")


class NotSmtp(SMTPException):
    """The server's bytes are no SMTP reply, or are one that nobody asked for."""


def take_reply(unread: bytearray) -> SMTPResponse | None:
    """Cut one whole reply off the front; None while its last line has not arrived."""
    lines: list[bytes] = []
    first_code = b""
    start = 0
    while (end := unread.find(b"\n", start)) != -1:
        code, more, text = _read_line(bytes(unread[start:end]))
        start = end + 1
        if lines and code != first_code:
            raise NotSmtp("the lines of a reply have different codes")
        first_code = code
        lines.append(text)
        if not more:
            del unread[:start]
            return SMTPResponse(int(code), b"\n".join(lines).decode("utf-8", "replace"))
    if len(unread) - start > MAX_LINE_BYTES or len(unread) > MAX_REPLY_BYTES:
        raise NotSmtp("a reply without end")
    return None


def _read_line(line: bytes) -> tuple[bytes, bool, bytes]:
    """Code, whether more lines follow, text."""
    match = _LINE.fullmatch(line.rstrip(b"\r"))
    if match is None or len(line) > MAX_LINE_BYTES:
        raise NotSmtp(f"not an SMTP reply: {clean_line(line[:80].decode('utf-8', 'replace'))}")
    code, separator, text = match.groups()
    return code, separator == b"-", text or b""


def as_reply(response: SMTPResponse) -> Reply:
    """The reply as a value that can be stored: clean, with its enhanced code."""
    text = clean_text(response.message)
    return Reply(response.code, enhanced_code(response.code, text), text)


def enhanced_code(code: int, text: str) -> str | None:
    """The RFC 3463 code at the start of the first or the last line, if its class fits (RFC 2034 4)."""
    first, _, rest = text.partition("\n")
    for line in (first, rest.rpartition("\n")[2]):
        match = _ENHANCED.match(line)
        if match and match[1] == str(code)[0]:
            return match[0]
    return None


def clean_text(text: str) -> str:
    """Printable, at most ten lines and 1 KB of UTF-8; lone surrogates become U+FFFD.

    A lone surrogate or a NUL would break the archive, and an escape sequence the operator's terminal.
    """
    if text.isascii() and text.isprintable() and len(text) <= MAX_TEXT_BYTES:
        return text.strip()
    lines = [_clean(line) for line in text.split("\n", MAX_TEXT_LINES)[:MAX_TEXT_LINES]]
    cut = "\n".join(lines).encode()[:MAX_TEXT_BYTES]
    return cut.decode("utf-8", "ignore").strip()


def clean_line(text: str) -> str:
    """`clean_text` as one line."""
    return clean_text(text).replace("\n", " / ")


def _clean(line: str) -> str:
    return "".join(filter(None, map(_printable, line))).strip()


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return " " if character.isspace() else ""
