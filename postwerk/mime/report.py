"""The machine's parts of a delivery status notification (RFC 3464 in the frame of RFC 6522).

What a server said is hostile input: it goes in as one line of ASCII, folded, and can end neither its field
nor its part.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import ip_address

from postwerk.contracts.content import StatusReport
from postwerk.mime.encoding import fold, quoted_printable

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]+")
_LONGEST_WORD = 200
"""A longer one is cut in pieces: only at a space a line can be folded (RFC 5322 2.1.1)."""
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}")


def report_parts(report: StatusReport) -> tuple[bytes, ...]:
    """The parts behind the text for people: the status, and the headers of the message if they are known."""
    status = b"Content-Type: message/delivery-status\r\n\r\n" + _status(report)
    return (status, _original(report.original)) if report.original else (status,)


def _status(report: StatusReport) -> bytes:
    """One group of fields for the message, a blank line, one group for the recipient (RFC 3464 2.1)."""
    message = [
        ("Reporting-MTA", _host(report.reporting_mta) or "dns; localhost"),  # the one field it must have
        ("Arrival-Date", _moment(report.arrived_at)),
    ]
    recipient = [
        ("Final-Recipient", _recipient(report.recipient)),
        ("Action", report.action),
        ("Status", _code(report)),
        ("Remote-MTA", _host(report.remote_mta)),
        ("Diagnostic-Code", _diagnostic(report)),
        ("Last-Attempt-Date", _moment(report.last_attempt_at)),
        ("Will-Retry-Until", _moment(report.retry_until)),
    ]
    return _fields(message) + b"\r\n" + _fields(recipient)


def _fields(fields: list[tuple[str, str]]) -> bytes:
    return b"".join(fold(name, value).encode("ascii") + b"\r\n" for name, value in fields if value)


def _host(host: str) -> str:
    """`dns; name`, an IP address in brackets as in a mail address; nothing when it is neither."""
    try:
        return f"dns; [{ip_address(host.strip('[]'))}]"
    except ValueError:
        return f"dns; {host}" if _HOST.fullmatch(host) else ""


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else format_datetime(moment.astimezone(UTC))


def _recipient(address: str) -> str:
    """An internationalized address in 7 bits: utf-8-addr-xtext (RFC 6533 3)."""
    if address.isascii():
        return f"rfc822; {plain(address)}"
    written = "".join(c if "!" <= c <= "~" and c not in "+=\\" else f"\\x{{{ord(c):02X}}}" for c in address)
    return f"utf-8; {written}"


def _code(report: StatusReport) -> str:
    if _STATUS.fullmatch(report.status):
        return report.status
    return "5.0.0" if report.action == "failed" else "4.0.0"


def _diagnostic(report: StatusReport) -> str:
    if report.reply:
        return f"smtp; {plain(report.reply)}"
    return f"x-postwerk; {plain(report.trouble)}" if report.trouble else ""


def plain(said: str) -> str:
    r"""One line of ASCII in which nothing is encoded and no word is too long to fold.

    >>> plain("5.1.1 Müller\r\nStatus: 2.0.0 =?utf-8?q?x?=")
    '5.1.1 M\\xfcller Status: 2.0.0 = ?utf-8?q?x? ='
    """
    ascii_only = " ".join(said.split()).encode("ascii", "backslashreplace").decode()
    # An encoded word could decode to anything, to a line break even.
    harmless = _NOT_PLAIN.sub(" ", ascii_only).replace("=?", "= ?").replace("?=", "? =")
    return re.sub(rf"(\S{{{_LONGEST_WORD}}})(?=\S)", r"\1 ", harmless)


def _original(headers: str) -> bytes:
    """The headers of the message; only an address in UTF-8 needs an encoding."""
    head = b"Content-Type: text/rfc822-headers\r\n"
    if headers.isascii():
        return head + b"\r\n" + headers.encode()
    encoding = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head.replace(b"\r\n", b"; charset=utf-8\r\n") + encoding + quoted_printable(headers)
