"""A message as bytes: a skeleton for the whole bulk send, filled in for each recipient.

The same recipient gives the same bytes on every attempt. What stands behind the bodies (attachments, a
status report) is the same for all and made once; what needs the finished bytes (a signature) belongs last
in `mail`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from email.utils import format_datetime

from postwerk.contracts.content import Content, Mailbox, MailIdentity, Recipient
from postwerk.contracts.mail import Mail
from postwerk.errors import ContentError
from postwerk.mime.frame import Files, Frame
from postwerk.mime.headers import header, is_template, mailboxes
from postwerk.mime.html_text import text_of, tidy
from postwerk.mime.imprint import NO_IMPRINT, Imprint
from postwerk.mime.styles import inlined
from postwerk.mime.templates import Rendered, Templates
from postwerk.mime.unsubscribing import unsubscribe_headers


def message_id(identity: MailIdentity, seq: int, domain: str) -> str:
    """The Message-ID with its angle brackets; every attempt has the same one."""
    return f"<{identity.bulk_id}.{seq}@{domain}>"


class Composer:
    """Makes the messages of one bulk send. Not for two threads at the same time."""

    def __init__(
        self,
        content: Content,
        identity: MailIdentity,
        imprint: Imprint = NO_IMPRINT,
        files: Files | None = None,
    ) -> None:
        """`files` are the bytes of the attachments that are stored by themselves."""
        self._content = content
        self._identity = identity
        self._imprint = imprint
        self._sender = content.sender
        self._domain = content.sender.email.rpartition("@")[2]
        self._templates = Templates(content)
        self._fixed_head = _fixed_head(content, identity)
        self._text_from_html = content.text_from_html and content.html is not None
        self._inline_css = content.inline_css
        self._is_report = content.report is not None
        self._frame: Frame | None = None
        self._unframed = ContentError()
        """Why there is no frame: said of each message."""
        try:
            self._frame = Frame(content, identity.bulk_id, files or {})
        except ContentError as error:
            self._unframed = error

    @property
    def shared_octets(self) -> int:
        """How much memory all its messages share."""
        return len(self._frame.shared) if self._frame else 0

    def compose(self, recipient: Recipient) -> bytes:
        """The whole message in one piece, signed, as it goes over the wire before dot-stuffing."""
        return self.mail(recipient).whole()

    def mail(self, recipient: Recipient) -> Mail:
        """The same in the two pieces it is made of. Raises ContentError."""
        if self._frame is None:
            raise ContentError(self._unframed.message, code=self._unframed.code)
        rendered = self.render(recipient)
        try:
            own = b"".join(
                (self._head(recipient, rendered), *self._frame.bodies(rendered.text, rendered.html))
            )
        except UnicodeEncodeError:
            raise ContentError("the message contains half a character (a lone surrogate)") from None
        shared = self._frame.shared
        own = self._imprint.signatures(self._content, (own, shared), self._identity.accepted_at) + own
        return Mail(own + shared) if self._is_report else Mail(own, shared)

    def render(self, recipient: Recipient) -> Rendered:
        """Subject, bodies and headers for one recipient, before they become bytes. Raises ContentError."""
        rendered = self._templates.render(recipient, self._own_link(recipient))
        text, html = rendered.text, rendered.html
        if html is None or not (self._text_from_html or self._inline_css):
            return rendered
        if self._text_from_html:
            text = text_of(html) if text is None else tidy(text)
        return rendered._replace(text=text, html=inlined(html) if self._inline_css else html)

    def identifying_headers(self, recipient: Recipient) -> str:
        """The header lines by which people and programs know the message again.

        Also for one that could not be made: what of it cannot be written is left out.
        """
        lines = [_date(self._identity), mailboxes("From", self._sender)]
        with suppress(ContentError):
            lines.append(_to(recipient))
        with suppress(ContentError, UnicodeEncodeError):
            lines.append(header("Subject", self.render(recipient).subject))
        lines.append(self._message_id(recipient))
        return b"".join(lines).decode()

    @property
    def lacks(self) -> str:
        """What keeps this process from making these messages, for people; empty: nothing."""
        return self._imprint.lacks(self._content)

    def _own_link(self, recipient: Recipient) -> str:
        """Where the recipient can unsubscribe with us; empty where the send has no such link."""
        wanted = self._content.list_unsubscribe
        if wanted is None or not wanted.own_link:
            return ""
        if self._imprint.links is None:
            raise ContentError(self.lacks, code="no_public_url")
        return self._imprint.links.link(self._identity.bulk_id, recipient.seq)

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
