"""A mail taken apart for people. It may be anything: what cannot be read is left out, nothing raises."""

from __future__ import annotations

import email
import email.policy
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import EmailMessage, MIMEPart

_TO_SHOW = ("From", "To", "Cc", "Reply-To", "Date", "Subject")
_LONGEST_PART = 1_000_000


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is neither the text nor the HTML."""

    name: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class Mail:
    """What a reader of the mail would see."""

    headers: dict[str, str]
    text: str | None
    html: str | None
    attachments: list[Attachment]


def read_mail(raw: bytes) -> Mail:
    """Take the exact bytes of a mail apart."""
    try:
        return _read(email.message_from_bytes(raw, policy=email.policy.default))
    except Exception:  # noqa: BLE001 - the parser raises almost anything on broken mails; the source can still be seen
        return Mail({}, None, None, [])


def _read(mail: EmailMessage) -> Mail:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    others = [
        part for part in mail.walk() if not part.is_multipart() and part is not text and part is not html
    ]
    return Mail(
        headers={name: _printable(str(mail[name])) for name in _TO_SHOW if name in mail},
        text=_content(text),
        html=_with_images(_content(html), others),
        attachments=[_attachment(part) for part in others],
    )


def _content(part: MIMEPart | None) -> str | None:
    return None if part is None else _printable(str(part.get_content())[:_LONGEST_PART])


def _with_images(html: str | None, parts: Iterable[MIMEPart]) -> str | None:
    """What the HTML shows by `cid:` stands in it, as a mail program would show it (RFC 2392)."""
    for part in parts:
        name, data = str(part["Content-ID"] or "").strip(" <>"), part.get_payload(decode=True)
        if html and name and isinstance(data, bytes) and part.get_content_maintype() == "image":
            shown = f"data:{part.get_content_type()};base64,{b64encode(data).decode()}"
            html = html.replace(f"cid:{name}", shown)
    return html


def _attachment(part: MIMEPart) -> Attachment:
    content = part.get_payload(decode=True)
    size = len(content) if isinstance(content, bytes) else 0
    return Attachment(_printable(part.get_filename() or "without a name"), part.get_content_type(), size)


def _printable(text: str) -> str:
    """With plain line ends, and without the lone surrogates that stand for bytes nobody could read."""
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
