"""A mail taken apart for people. It may be anything: what cannot be read is left out, nothing raises."""

from __future__ import annotations

import email
import email.policy
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage, Message, MIMEPart
from urllib.parse import unquote

from postwerk.sandbox.entries import readable
from postwerk.sandbox.mail_headers import decoded, head, printable, raw_fields

_TO_SHOW = ("From", "To", "Cc", "Reply-To", "Date", "Subject")
_LONGEST_PART = 1_000_000
_LONGEST_NAME = 120
_MOST_PARTS = 1000
# The parser takes seconds for more, and nobody writes such mails in earnest.
_MOST_BOUNDARIES = 2000
_CID = re.compile(r"cid:([^\"'\s)>&]+)", re.IGNORECASE)
_KIND = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
# What could be read as more than a name: paths, controls, signs that turn the text around.
_NOT_IN_A_NAME = re.compile(r"[/\\:*?\"<>|\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
_ANYTHING = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is neither the text nor the HTML."""

    part: int
    """Its number in the mail; parts are counted from 1."""
    name: str
    """As a file may be called; never empty."""
    kind: str
    size: int
    cid: str = ""
    """What HTML calls it by (RFC 2392)."""
    inline: bool = False
    """It is a picture that the HTML shows."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What a reader of the mail would see."""

    headers: dict[str, str]
    text: str | None
    html: str | None
    """As it came: what it names by `cid:` is not put in."""
    attachments: list[Attachment]


@dataclass(frozen=True, slots=True)
class Part:
    """One part, to be handed out as a file."""

    name: str
    kind: str
    content: bytes


def read_mail(raw: bytes) -> Mail:
    """Take the exact bytes of a mail apart."""
    try:
        return _read(_parsed(raw), {name.lower(): value for name, value in reversed(raw_fields(raw))})
    except Exception:  # noqa: BLE001 - the parser raises almost anything on broken mails; the source can still be seen
        return Mail({}, None, None, [])


def read_html(raw: bytes) -> str | None:
    """The HTML with its pictures in it, as a mail program would show it (RFC 2392); None without HTML."""
    try:
        mail = _parsed(raw)
        html = _content(mail.get_body(("html",)))
        return None if html is None else _with_pictures(html, _leaves(mail))
    except Exception:  # noqa: BLE001 - as above
        return None


def read_part(raw: bytes, number: int) -> Part | None:
    """One part by its number, decoded; None when there is none."""
    try:
        part = dict(enumerate(_leaves(_parsed(raw)), 1)).get(number)
        return None if part is None else Part(_name(part, number), _kind(part), _bytes(part))
    except Exception:  # noqa: BLE001 - as above
        return None


def _parsed(raw: bytes) -> EmailMessage:
    many = raw.count(b"\r\n--") > _MOST_BOUNDARIES
    return email.message_from_bytes(head(raw) if many else raw, policy=email.policy.default)


def _read(mail: EmailMessage, fields: Mapping[str, str]) -> Mail:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    markup = _content(html)
    shown = {_reference(name) for name in _CID.findall(markup or "")}
    others = [(n, part) for n, part in enumerate(_leaves(mail), 1) if part is not text and part is not html]
    return Mail(
        headers={name: decoded(fields[name.lower()]) for name in _TO_SHOW if name.lower() in fields},
        text=_content(text),
        html=markup,
        attachments=[_attachment(number, part, shown) for number, part in others],
    )


def _leaves(mail: Message) -> Iterator[MIMEPart]:
    """Every part that holds no others, in order; a mail that is attached is one of them."""
    waiting: list[Message] = [mail]
    for _ in range(_MOST_PARTS):
        if not waiting:
            return
        part = waiting.pop()
        inside = part.get_payload() if part.get_content_maintype() == "multipart" else None
        if isinstance(inside, list):
            waiting += [one for one in reversed(inside) if isinstance(one, Message)]
        else:
            assert isinstance(part, MIMEPart)
            yield part


def _content(part: MIMEPart | None) -> str | None:
    return None if part is None else printable(str(part.get_content())[:_LONGEST_PART])


def _with_pictures(html: str, parts: Iterable[MIMEPart]) -> str:
    pictures = {cid: part for part in parts if (cid := _cid(part)) and _kind(part).startswith("image/")}
    return _CID.sub(lambda match: _picture(pictures, match), html)


def _picture(pictures: Mapping[str, MIMEPart], match: re.Match[str]) -> str:
    part = pictures.get(_reference(match[1]))
    return match[0] if part is None else f"data:{_kind(part)};base64,{b64encode(_bytes(part)).decode()}"


def _reference(written: str) -> str:
    """What stands behind `cid:`, as the part's own Content-ID says it."""
    return unquote(written)


def _attachment(number: int, part: MIMEPart, shown: set[str]) -> Attachment:
    cid, kind = _cid(part), _kind(part)
    inline = cid in shown and kind.startswith("image/")
    return Attachment(number, _name(part, number), kind, len(_bytes(part)), cid, inline)


def _bytes(part: MIMEPart) -> bytes:
    inside = part.get_payload()
    if isinstance(inside, list):  # an attached mail
        return b"".join(one.as_bytes(policy=email.policy.SMTP) for one in inside if isinstance(one, Message))
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _cid(part: MIMEPart) -> str:
    return printable(str(part["Content-ID"] or "").strip(" <>"))


def _kind(part: MIMEPart) -> str:
    """The type as declared, if it can be one."""
    kind = part.get_content_type()
    return kind if _KIND.fullmatch(kind) else _ANYTHING


def _name(part: MIMEPart, number: int) -> str:
    """The name for a file: without paths, controls and dots in front, and with its ending when it is long."""
    given = _NOT_IN_A_NAME.sub("_", printable(readable(part.get_filename() or ""))).strip(" ._")
    if not given:
        return f"part-{number}{'.eml' if _kind(part) == 'message/rfc822' else ''}"
    if len(given) <= _LONGEST_NAME:
        return given
    stem, dot, ending = given.rpartition(".")
    return (
        stem[: _LONGEST_NAME - len(ending) - 1] + dot + ending if len(ending) < 10 else given[:_LONGEST_NAME]
    )
