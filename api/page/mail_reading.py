"""A mail taken apart for people to look at. Reads only; what a mail says is never trusted."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from urllib.parse import unquote

MOST_TEXT = 500_000
"""Characters of a part that are shown."""
MOST_PICTURE, MOST_PICTURES = 500_000, 3_000_000
"""Bytes of an inline picture, and of all of them, that are put into the HTML."""
_CID = re.compile(r"cid:([^\"'\s>)]+)", re.IGNORECASE)
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})


@dataclass(frozen=True, slots=True)
class ShownFile:
    """An attachment, by name and size alone."""

    name: str
    media_type: str
    octets: int


@dataclass(frozen=True, slots=True)
class ShownMail:
    """What there is to look at; `html` None: the mail has none."""

    subject: str
    headers: str
    text: str | None
    html: str | None
    files: tuple[ShownFile, ...]
    octets: int


def shown_mail(raw: bytes) -> ShownMail:
    """Its parts as text."""
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    head = raw.partition(b"\r\n\r\n")[0]
    written = _part(mail, "html")
    return ShownMail(
        subject=str(mail["subject"] or ""),
        headers=head.decode("utf-8", "replace").replace("\r\n", "\n"),
        text=_part(mail, "plain"),
        html=None if written is None else with_pictures(written, mail),
        files=tuple(_files(mail)),
        octets=len(raw),
    )


def _part(mail: EmailMessage, kind: str) -> str | None:
    found = mail.get_body((kind,))
    if found is None:
        return None
    content = found.get_content()
    return content[:MOST_TEXT] if isinstance(content, str) else None


def with_pictures(written: str, mail: EmailMessage) -> str:
    """Pictures that come with the mail stand in its HTML, as far as they are small."""
    pictures = dict(_pictures(mail))
    return _CID.sub(lambda found: pictures.get(unquote(html.unescape(found[1])), found[0]), written)


def _pictures(mail: EmailMessage) -> Iterator[tuple[str, str]]:
    """Addresses (`data:`) by content id."""
    left = MOST_PICTURES
    for part in mail.walk():
        content_id = str(part["content-id"] or "").strip("<> ")
        if not content_id or part.get_content_type() not in _PICTURES:
            continue
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and len(content) <= min(MOST_PICTURE, left):
            left -= len(content)
            yield content_id, f"data:{part.get_content_type()};base64,{base64.b64encode(content).decode()}"


def _files(mail: EmailMessage) -> Iterator[ShownFile]:
    for part in mail.walk():
        if part.is_multipart() or not (name := part.get_filename()):
            continue
        content = part.get_payload(decode=True)
        yield ShownFile(name, part.get_content_type(), len(content) if isinstance(content, bytes) else 0)
