"""Headers as bytes: which names and values are taken, and how each kind of value is written.

Nothing here trusts the standard library's e-mail package: a value that could break out of its line
is refused before a byte is built (CVE-2024-6923, CVE-2026-1299).
"""

from __future__ import annotations

import re

from postwerk.contracts.content import Mailbox
from postwerk.errors import ContentError, InvalidRequest
from postwerk.mime.encoding import LINE, encode_words, fold

MAX_HEADERS = 50
MAX_VALUE_CHARACTERS = 998  # RFC 5322 2.1.1
MAX_SOURCE_CHARACTERS = 4_000  # a template is longer than what it shows
_LONGEST_PLAIN_NAME = 60

_NAME = re.compile(r"[!-9;-~]{1,76}")
_OURS = re.compile(
    r"(?i)from|to|cc|bcc|subject|date|message-id|mime-version|content-.*|received|return-path|reply-to|sender"
    r"|resent-.*|dkim-signature|domainkey-signature|arc-.*|authentication-results|received-spf|delivered-to"
    r"|apparently-to|x-original-to|x-envelope-.*|envelope-to"
)
# Encoded words have no meaning in these: a program reads them (RFC 2369, RFC 8058, RFC 3834, RFC 5322 3.6.4).
_FOR_PROGRAMS = re.compile(
    r"(?i)list-.*|auto-submitted|precedence|in-reply-to|references|archived-at|feedback-id|importance|priority"
    r"|x-priority|errors-to|disposition-notification-to|return-receipt-to|x-auto-response-suppress|require-recipient-.*"
)
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")


def check_headers(headers: dict[str, str]) -> None:
    """Refuse custom headers that are ours to write, or that no mail can carry; values may be templates."""
    if len(headers) > MAX_HEADERS:
        raise InvalidRequest(f"more than {MAX_HEADERS} headers", pointer="#/headers", code="too_large")
    seen: set[str] = set()
    for name, value in headers.items():
        reason = _objection_to_name(name, seen) or _objection_to_source(name, value)
        if reason:
            raise InvalidRequest(reason, pointer=_pointer(name), code="invalid_header")
        seen.add(name.lower())


def is_template(value: str) -> bool:
    """A header value with tags is rendered for each recipient."""
    return "{{" in value or "{%" in value or "{#" in value


def header(name: str, value: str) -> bytes:
    """One header line (folded, CRLF at its end); an empty value leaves the header out."""
    value = checked(name, value)
    if not value:
        return b""
    if _FOR_PROGRAMS.fullmatch(name):
        return _line_for_programs(name, value)
    return _line(unstructured(name, value))


def unstructured(name: str, value: str) -> str:
    """Free text such as a subject; what is not ASCII, or looks encoded, becomes encoded words."""
    if value.isascii() and "=?" not in value:
        folded = fold(name, value)
        if max(map(len, folded.split("\r\n"))) <= MAX_VALUE_CHARACTERS:
            return folded
        # One word as long as a line cannot be folded; encoded it can.
    return _encoded(name, value)


def mailboxes(name: str, *boxes: Mailbox) -> bytes:
    """An address header; the addresses are in normal form already (rules/addresses.py)."""
    line = f"{name}:"
    for position, box in enumerate(boxes):
        written = _mailbox(name, box, len(name) + 2)
        last = line.rpartition("\n")[2]
        fits = len(last) + 1 + len(written.split("\r\n", 1)[0]) <= LINE
        line += ("," if position else "") + (" " if fits or not position else "\r\n ") + written
    return _line(line)


def checked(name: str, value: str) -> str:
    """The value without outer spaces, once it is sure that it stays in its own header."""
    if _NOT_IN_A_LINE.search(value):
        raise ContentError(f"{name} contains a line break or another control character", code="render_failed")
    if len(value) > MAX_VALUE_CHARACTERS:
        raise ContentError(f"{name} is longer than {MAX_VALUE_CHARACTERS} characters", code="too_large")
    return value.strip()


def _objection_to_name(name: str, seen: set[str]) -> str:
    if not _NAME.fullmatch(name):
        return "a header name has 1 to 76 visible ASCII characters and no colon"
    if _OURS.fullmatch(name):
        return f"{name} is written by Postwerk and cannot be given"
    return f"{name} is given twice" if name.lower() in seen else ""


def _objection_to_source(name: str, value: str) -> str:
    if len(value) > (MAX_SOURCE_CHARACTERS if is_template(value) else MAX_VALUE_CHARACTERS):
        return f"the value is longer than {MAX_VALUE_CHARACTERS} characters"
    if _NOT_IN_A_LINE.search(value):
        return "the value contains a line break or another control character"
    if _FOR_PROGRAMS.fullmatch(name) and not value.isascii():
        return f"{name} is read by programs and takes ASCII only"
    return ""


def _line_for_programs(name: str, value: str) -> bytes:
    if not value.isascii():
        raise ContentError(f"{name} is read by programs and takes ASCII only", code="render_failed")
    if len(name) + 2 + len(value) > MAX_VALUE_CHARACTERS:
        raise ContentError(f"{name} is longer than {MAX_VALUE_CHARACTERS} characters", code="too_large")
    return _line(f"{name}: {value}")


def _mailbox(header_name: str, box: Mailbox, used: int) -> str:
    address = box.email
    # The address has been validated; but it may come from a store, and this is the last door.
    if _NOT_IN_A_LINE.search(address) or any(c in '<>(),;: "\\' for c in address):
        raise ContentError(f"{header_name} holds an address that cannot be written")
    name = checked(f"the name in {header_name}", box.name)
    if not name:
        return address
    phrase = _phrase(name, used)
    last = phrase.rpartition("\n")[2]
    separator = " " if len(last) + used + len(address) + 3 <= LINE else "\r\n "
    return f"{phrase}{separator}<{address}>"


def _phrase(name: str, used: int) -> str:
    if not name.isascii() or "=?" in name or len(name) > _LONGEST_PLAIN_NAME:
        return encode_words(name, used)
    if _ATOMS.fullmatch(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encoded(name: str, value: str) -> str:
    used = len(name) + 2
    if used > LINE - 40:
        return f"{name}:\r\n {encode_words(value, 1)}"
    return f"{name}: {encode_words(value, used)}"


def _line(text: str) -> bytes:
    # RFC 6532: only an address with a UTF-8 local part leaves ASCII here.
    return text.encode() + b"\r\n"


def _pointer(name: str) -> str:
    """RFC 6901: "~" and "/" are escaped."""
    return "#/headers/" + name[:80].replace("~", "~0").replace("/", "~1")
