"""A message as bytes: a skeleton for the whole bulk send, filled in for each recipient.

The same recipient gives the same bytes on every attempt. What stands around the bodies (attachments, a
status report) is the same for all and made once; what needs the finished bytes (a signature) belongs last
in `compose`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from email.utils import format_datetime
from hashlib import sha256

from postwerk.contracts.content import Content, Mailbox, MailIdentity, Recipient
from postwerk.errors import ContentError
from postwerk.mime.attachments import attachment_part
from postwerk.mime.encoding import quoted_printable
from postwerk.mime.headers import header, is_template, mailboxes
from postwerk.mime.imprint import NO_IMPRINT, Imprint
from postwerk.mime.report import report_parts
from postwerk.mime.templates import Rendered, Templates
from postwerk.mime.unsubscribing import unsubscribe_headers

_PART_HEAD = b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"


def message_id(identity: MailIdentity, seq: int, domain: str) -> str:
    """The Message-ID with its angle brackets; every attempt has the same one."""
    return f"<{identity.bulk_id}.{seq}@{domain}>"


class Composer:
    """Makes the messages of one bulk send. Not for two threads at the same time."""

    def __init__(self, content: Content, identity: MailIdentity, imprint: Imprint = NO_IMPRINT) -> None:
        self._content = content
        self._identity = identity
        self._imprint = imprint
        self._sender = content.sender
        self._domain = content.sender.email.rpartition("@")[2]
        self._templates = Templates(content)
        self._fixed_head = _fixed_head(content, identity)
        self._frame = _Frame(content, identity.bulk_id)

    def compose(self, recipient: Recipient) -> bytes:
        """The whole message, signed, as it goes over the wire before dot-stuffing."""
        rendered = self._render(recipient)
        try:
            head = self._head(recipient, rendered)
            mail = (head, *self._frame.entity(rendered))
        except UnicodeEncodeError:
            raise ContentError("the message contains half a character (a lone surrogate)") from None
        return b"".join((self._imprint.signatures(self._content, mail, self._identity.accepted_at), *mail))

    def identifying_headers(self, recipient: Recipient) -> str:
        """The header lines by which people and programs know the message again.

        Also for one that could not be made: what of it cannot be written is left out.
        """
        lines = [_date(self._identity), mailboxes("From", self._sender)]
        with suppress(ContentError):
            lines.append(_to(recipient))
        with suppress(ContentError, UnicodeEncodeError):
            lines.append(header("Subject", self._render(recipient).subject))
        lines.append(self._message_id(recipient))
        return b"".join(lines).decode()

    @property
    def lacks(self) -> str:
        """What keeps this process from making these messages, for people; empty: nothing."""
        return self._imprint.lacks(self._content)

    def _render(self, recipient: Recipient) -> Rendered:
        wanted, link = self._content.list_unsubscribe, ""
        if wanted is not None and wanted.own_link:
            if self._imprint.links is None:
                raise ContentError(self.lacks, code="no_public_url")
            link = self._imprint.links.link(self._identity.bulk_id, recipient.seq)
        return self._templates.render(recipient, link)

    def _head(self, recipient: Recipient, rendered: Rendered) -> bytes:
        return b"".join(
            (
                self._fixed_head,
                _to(recipient),
                header("Subject", rendered.subject) or b"Subject: \r\n",
                self._message_id(recipient),
                *(header(name, value) for name, value in rendered.headers.items()),
                self._unsubscribe_headers(rendered),
            )
        )

    def _unsubscribe_headers(self, rendered: Rendered) -> bytes:
        wanted = self._content.list_unsubscribe
        return b"" if wanted is None else unsubscribe_headers(rendered.leaving, wanted)

    def _message_id(self, recipient: Recipient) -> bytes:
        return b"Message-ID: %s\r\n" % message_id(self._identity, recipient.seq, self._domain).encode()


class _Frame:
    """The MIME structure: which parts a message has, and the fixed bytes between them."""

    def __init__(self, content: Content, bulk_id: str) -> None:
        boundary = _boundary(bulk_id)
        self._before = _opening(b"multipart/alternative", boundary)
        self._between = b"\r\n--%s\r\n" % boundary
        self._after = b"\r\n--%s--\r\n" % boundary
        self._around = _around(content, _boundary(bulk_id + "/around"))

    def entity(self, rendered: Rendered) -> tuple[bytes, ...]:
        """Content headers, blank line and bodies, with what goes along behind them."""
        bodies = self._bodies(rendered)
        if self._around is None:
            return bodies
        before, after = self._around
        return (before, *bodies, after)

    def _bodies(self, rendered: Rendered) -> tuple[bytes, ...]:
        """The plainest alternative first (RFC 2046 5.1.4)."""
        if rendered.html is None:
            return _part(b"plain", rendered.text or "")
        html = _part(b"html", rendered.html)
        if rendered.text is None:
            return html
        return (self._before, *_part(b"plain", rendered.text), self._between, *html, self._after)


def _boundary(seed: str) -> bytes:
    # RFC 2045 6.7: in quoted-printable "=" stands before hex digits or a line end; "=_" is in no body. Nor
    # is it in base64, nor at the start of a status report's lines.
    return b"=_" + sha256(seed.encode()).hexdigest()[:32].encode()


def _opening(kind: bytes, boundary: bytes) -> bytes:
    fold = b"\r\n" if b";" in kind else b""
    return b'Content-Type: %s;%s boundary="%s"\r\n\r\n--%s\r\n' % (kind, fold, boundary, boundary)


def _around(content: Content, boundary: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and behind the bodies: attachments, or the parts of a report (RFC 6522)."""
    if content.report is not None:
        kind, parts = b"multipart/report; report-type=delivery-status", report_parts(content.report)
    elif content.attachments:
        kind, parts = b"multipart/mixed", tuple(attachment_part(one) for one in content.attachments)
    else:
        return None
    behind = b"".join(b"\r\n--%s\r\n%s" % (boundary, part) for part in parts)
    return _opening(kind, boundary), behind + b"\r\n--%s--\r\n" % boundary


def _date(identity: MailIdentity) -> bytes:
    accepted_at = identity.accepted_at
    moment = accepted_at.replace(tzinfo=UTC) if accepted_at.tzinfo is None else accepted_at.astimezone(UTC)
    return b"Date: %s\r\n" % format_datetime(moment).encode()


def _to(recipient: Recipient) -> bytes:
    return mailboxes("To", Mailbox.model_construct(email=recipient.address, name=recipient.name))


def _fixed_head(content: Content, identity: MailIdentity) -> bytes:
    fixed = {name: value for name, value in content.headers.items() if not is_template(value)}
    return b"".join(
        (
            _date(identity),
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
