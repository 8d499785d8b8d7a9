"""A message as bytes: a skeleton for the whole bulk send, filled in for each recipient.

The same recipient gives the same bytes on every attempt. What is to stand around the bodies
(attachments) belongs into `_entity`; what needs the finished bytes (a signature) belongs last in `compose`.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime
from hashlib import sha256

from postwerk.contracts.content import Content, Mailbox, MailIdentity, Recipient
from postwerk.errors import ContentError
from postwerk.mime.encoding import quoted_printable
from postwerk.mime.headers import header, is_template, mailboxes
from postwerk.mime.templates import Rendered, Templates

_PART_HEAD = b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"


def message_id(identity: MailIdentity, seq: int, domain: str) -> str:
    """The Message-ID with its angle brackets; every attempt has the same one."""
    return f"<{identity.bulk_id}.{seq}@{domain}>"


class Composer:
    """Makes the messages of one bulk send. Not for two threads at the same time."""

    def __init__(self, content: Content, identity: MailIdentity) -> None:
        self._identity = identity
        self._domain = content.sender.email.rpartition("@")[2]
        self._templates = Templates(content)
        self._fixed_head = _fixed_head(content, identity)
        self._frame = _Frame(identity.bulk_id)

    def compose(self, recipient: Recipient) -> bytes:
        """The whole message, as it goes over the wire before dot-stuffing."""
        rendered = self._templates.render(recipient)
        try:
            head = self._head(recipient, rendered)
            return b"".join((head, *self._frame.entity(rendered)))
        except UnicodeEncodeError:
            raise ContentError("the message contains half a character (a lone surrogate)") from None

    def _head(self, recipient: Recipient, rendered: Rendered) -> bytes:
        own_id = message_id(self._identity, recipient.seq, self._domain)
        return b"".join(
            (
                self._fixed_head,
                mailboxes("To", Mailbox.model_construct(email=recipient.address, name=recipient.name)),
                header("Subject", rendered.subject) or b"Subject: \r\n",
                b"Message-ID: %s\r\n" % own_id.encode(),
                *(header(name, value) for name, value in rendered.headers.items()),
            )
        )


class _Frame:
    """The MIME structure: which parts a message has, and the fixed bytes between them."""

    def __init__(self, bulk_id: str) -> None:
        # RFC 2045 6.7: in quoted-printable "=" stands before hex digits or a line end; "=_" is in no body.
        boundary = b"=_" + sha256(bulk_id.encode()).hexdigest()[:32].encode()
        opening = b'Content-Type: multipart/alternative; boundary="%s"\r\n\r\n--%s\r\n'
        self._before = opening % (boundary, boundary)
        self._between = b"\r\n--%s\r\n" % boundary
        self._after = b"\r\n--%s--\r\n" % boundary

    def entity(self, rendered: Rendered) -> tuple[bytes, ...]:
        """Content headers, blank line and bodies; the plainest alternative first (RFC 2046 5.1.4)."""
        if rendered.html is None:
            return _part(b"plain", rendered.text or "")
        html = _part(b"html", rendered.html)
        if rendered.text is None:
            return html
        return (self._before, *_part(b"plain", rendered.text), self._between, *html, self._after)


def _fixed_head(content: Content, identity: MailIdentity) -> bytes:
    accepted_at = identity.accepted_at
    moment = accepted_at.replace(tzinfo=UTC) if accepted_at.tzinfo is None else accepted_at.astimezone(UTC)
    fixed = {name: value for name, value in content.headers.items() if not is_template(value)}
    return b"".join(
        (
            b"Date: %s\r\n" % format_datetime(moment).encode(),
            mailboxes("From", content.sender),
            mailboxes("Reply-To", *content.reply_to) if content.reply_to else b"",
            *(header(name, value) for name, value in fixed.items()),
            b"MIME-Version: 1.0\r\n",
        )
    )


def _part(subtype: bytes, text: str) -> tuple[bytes, bytes]:
    if "\0" in text:
        raise ContentError("the text contains a NUL character")
    head = (
        b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        % subtype
    )
    return head, quoted_printable(text)
