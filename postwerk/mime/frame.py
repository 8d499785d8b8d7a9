"""The MIME structure of a send's messages: which parts there are, and the bytes between and behind them.

    mixed ─┬─ alternative ─┬─ text
           │               ├─ related ─┬─ html
           │               │           └─ what the html shows (inline files)
           │               └─ the invitation, if a file is one (RFC 6047)
           └─ files

What is not there is left out, and so is a multipart of one part. All that is each message's own comes first;
what stands behind it is the same for all, and made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from postwerk.contracts.content import Attachment, Content
from postwerk.errors import ContentError
from postwerk.mime.attachments import attachment_part, encoded_size, invitation_part
from postwerk.mime.dkim import Relaxed
from postwerk.mime.encoding import quoted_printable
from postwerk.mime.report import report_parts

Files = Mapping[str, bytes | None]
"""Files by their ids; None: it could not be had as it was given."""
MISSING = "content_missing"


class Frame:
    """What stands before, between and behind the bodies of one send."""

    def __init__(self, content: Content, bulk_id: str, files: Files) -> None:
        """Raises ContentError `content_missing` when a file is not there."""
        self._seed = bulk_id
        self._before: list[bytes] = []
        self._between = b""
        inline, others = _in_two(content.attachments, content.html is not None)
        invitations = [one for one in others if one.method]
        mixed = self._open(*_mixed(content, others), seed="/around")
        has_text = content.text is not None or content.text_from_html
        several = (has_text and content.html is not None) or invitations
        alternative = self._open("multipart/alternative", bool(several), seed="")
        if alternative and has_text and content.html is not None:
            self._between = b"\r\n--%s\r\n" % alternative
        related = b""
        if inline:
            related = _boundary(bulk_id + "/related")
            opening = _opening(b'multipart/related; type="text/html"', related)
            if self._between:
                self._between += opening
            else:
                self._before.append(opening)
        shared = b"".join(
            (
                _closed(related, (_part_of(one, files) for one in inline)),
                _closed(alternative, (invitation_part(one, _data(one, files)) for one in invitations)),
                _closed(mixed, _behind(content, others, files)),
            )
        )
        self.shared = shared if content.report is not None else _in_wire_form(shared)

    def _open(self, kind: str, wanted: bool, *, seed: str) -> bytes:
        """The boundary of a multipart that begins before the bodies; empty when there is none."""
        if not wanted:
            return b""
        boundary = _boundary(self._seed + seed)
        self._before.append(_opening(kind.encode(), boundary))
        return boundary

    def bodies(self, text: str | None, html: str | None) -> tuple[bytes, ...]:
        """From the content headers to the end of the last body; the plainest first (RFC 2046 5.1.4)."""
        if html is None:
            return (*self._before, *_part(b"plain", text or ""))
        if text is None:
            return (*self._before, *_part(b"html", html))
        return (*self._before, *_part(b"plain", text), self._between, *_part(b"html", html))


def fixed_size(attachments: Iterable[Attachment]) -> int:
    """About how many octets these files make of each message, without having the files."""
    sizes = [(one.size or len(one.text.encode()), one) for one in attachments]
    return sum(encoded_size(size) * (2 if one.method else 1) + 1_000 for size, one in sizes)


def _in_two(attachments: Iterable[Attachment], has_html: bool) -> tuple[list[Attachment], list[Attachment]]:
    """What stands in the html, and what beside it."""
    found: tuple[list[Attachment], list[Attachment]] = ([], [])
    for one in attachments:
        found[0 if one.inline and has_html else 1].append(one)
    return found


def _mixed(content: Content, others: list[Attachment]) -> tuple[str, bool]:
    if content.report is not None:
        return "multipart/report; report-type=delivery-status", True
    return "multipart/mixed", bool(others)


def _behind(content: Content, others: list[Attachment], files: Files) -> Iterable[bytes]:
    """Attachments, or the parts of a report (RFC 6522)."""
    if content.report is not None:
        return report_parts(content.report)
    return (_part_of(one, files) for one in others)


def _part_of(attachment: Attachment, files: Files) -> bytes:
    return attachment_part(attachment, _data(attachment, files) if attachment.blob else None)


def _data(attachment: Attachment, files: Files) -> bytes:
    data = files.get(attachment.blob)
    if data is None:
        raise ContentError("an attachment is missing in the archive, or damaged", code=MISSING)
    return data


def _closed(boundary: bytes, parts: Iterable[bytes]) -> bytes:
    """The parts behind the bodies, and the end of the multipart they stand in."""
    if not boundary:
        return b""
    behind = b"".join(b"\r\n--%s\r\n%s" % (boundary, part) for part in parts)
    return behind + b"\r\n--%s--\r\n" % boundary


def _boundary(seed: str) -> bytes:
    # RFC 2045 6.7: in quoted-printable "=" stands before hex digits or a line end; "=_" is in no body. Nor
    # is it in base64, nor at the start of a status report's lines.
    return b"=_" + sha256(seed.encode()).hexdigest()[:32].encode()


def _opening(kind: bytes, boundary: bytes) -> bytes:
    fold = b"\r\n" if b";" in kind else b""
    return b'Content-Type: %s;%s boundary="%s"\r\n\r\n--%s\r\n' % (kind, fold, boundary, boundary)


def _part(subtype: bytes, text: str) -> tuple[bytes, bytes]:
    if "\0" in text:
        raise ContentError("the text contains a NUL character")
    head = (
        b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        % subtype
    )
    return head, quoted_printable(text)


def _in_wire_form(shared: bytes) -> Relaxed:
    """What contracts.mail.Mail promises of it, and what a signature asks: looked at once a send. Or raise."""
    pairs = shared.count(b"\r\n")
    clean = shared.isascii() and shared.count(b"\n") == pairs == shared.count(b"\r") and b"\0" not in shared
    if not clean or b"\n." in shared or b" \r" in shared or b"  " in shared or b"\t" in shared:
        raise ContentError("an attachment's headers cannot be written")
    return Relaxed(shared)
