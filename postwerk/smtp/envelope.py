"""What goes into MAIL and RCPT, and the reasons to refuse a message ourselves before it is on the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiosmtplib.email import parse_address

from postwerk.contracts.mail import Mail
from postwerk.contracts.smtp import Trouble

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
# An atom or one quoted string, and a domain or an address literal (RFC 5321 4.1.2, RFC 6531)
_ANY_ADDRESS = re.compile(
    r"""(?:[^\s<>()@,;:\\"\[\]]+|"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*")@[^\s<>()@,;\\"]+"""
)
MAX_ADDRESS_BYTES = 320


class Unsendable(Exception):
    """This message cannot go to this server; nothing was sent."""

    def __init__(self, reason: str, trouble: Trouble = Trouble.LOCAL) -> None:
        super().__init__(reason)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Offer:
    """What of the server's EHLO matters to us. We never ask for what is not offered (RFC 5321 2.2.1)."""

    size_limit: int | None = None
    """Largest message in bytes, 0 for "no limit" (RFC 1870 4); None: SIZE is not offered."""
    smtputf8: bool = False
    eightbit: bool = False
    pipelining: bool = False

    @classmethod
    def of(cls, extensions: dict[str, str]) -> Offer:
        size = extensions.get("size")
        limit = int(size) if size and size.isascii() and size.isdigit() else 0
        offered = ("smtputf8" in extensions, "8bitmime" in extensions, "pipelining" in extensions)
        return cls(None if size is None else limit, *offered)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The arguments of MAIL and RCPT."""

    mail: tuple[bytes, ...]
    rcpt: bytes


def address_envelope(sender: str, recipient: str, mail: Mail, offer: Offer) -> Envelope:
    """Check message and addresses against the rules and the server's offer. `shared` was checked before."""
    _check_lines(mail.own)
    if not recipient:
        raise Unsendable("the recipient is empty")
    arguments = [b"FROM:<%b>" % _mailbox(sender, offer) if sender else b"FROM:<>"]
    if offer.size_limit is not None:
        arguments.append(_size(mail.size, offer.size_limit))
    ascii_message = mail.own.isascii()
    international = not (
        sender.isascii() and recipient.isascii() and (ascii_message or _head(mail).isascii())
    )
    if international and not offer.smtputf8:
        raise Unsendable(
            "an address is not ASCII, the server does not offer SMTPUTF8", Trouble.SMTPUTF8_NOT_OFFERED
        )
    if not ascii_message:
        arguments.append(_eightbit(offer))
    if international:
        arguments.append(b"SMTPUTF8")
    return Envelope(tuple(arguments), b"TO:<%b>" % _mailbox(recipient, offer))


def _head(mail: Mail) -> bytes:
    """RFC 6531 3.4: an address of UTF-8 in a header needs SMTPUTF8 too, whoever the recipient is."""
    return mail.own[: mail.own.find(b"\r\n\r\n")]


def _check_lines(message: bytes) -> None:
    """RFC 5321 2.3.8: never a bare CR or LF (SMTP smuggling); NUL is refused by most servers."""
    pairs = message.count(b"\r\n")
    if message.count(b"\n") != pairs or message.count(b"\r") != pairs:
        raise Unsendable("the message has a bare CR or LF")
    if b"\0" in message:
        raise Unsendable("the message has a NUL")


def _size(size: int, limit: int) -> bytes:
    if 0 < limit < size:
        raise Unsendable(f"the message has {size} bytes, the server takes {limit}", Trouble.TOO_BIG)
    return b"SIZE=%d" % size


def _eightbit(offer: Offer) -> bytes:
    if not offer.eightbit:
        raise Unsendable("the message has 8-bit content, the server does not offer 8BITMIME")
    return b"BODY=8BITMIME"


def _mailbox(address: str, offer: Offer) -> bytes:
    if _PLAIN_ADDRESS.fullmatch(address):
        return address.encode("ascii")
    if not address.isascii() and not offer.smtputf8:
        raise Unsendable(
            "the address is not ASCII, the server does not offer SMTPUTF8", Trouble.SMTPUTF8_NOT_OFFERED
        )
    return _unusual_mailbox(address)


def _unusual_mailbox(address: str) -> bytes:
    """An address that aiosmtplib's lenient parser would change was never meant like this: refuse it."""
    try:
        changed = parse_address(address) != address
        mailbox = address.encode("utf-8")
    except ValueError:
        changed, mailbox = True, b""
    well_formed = _ANY_ADDRESS.fullmatch(address) and address.isprintable()
    if changed or not well_formed or len(mailbox) > MAX_ADDRESS_BYTES:
        raise Unsendable("the address is not valid in SMTP")
    return mailbox


def stuff_dots(message: bytes) -> bytes:
    """RFC 5321 4.5.2: a line that begins with a dot gets a second one; the last line gets its end."""
    if not message.endswith(b"\r\n") and message:
        message += b"\r\n"
    if b"\r\n." in message:
        message = message.replace(b"\r\n.", b"\r\n..")
    return b"." + message if message.startswith(b".") else message
