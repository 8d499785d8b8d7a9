"""A file that goes along with a mail: its part, and how its name is written."""

from __future__ import annotations

import re
from base64 import encodebytes
from urllib.parse import quote

from postwerk.contracts.content import Attachment
from postwerk.errors import ContentError
from postwerk.mime.encoding import encode_words
from postwerk.mime.file_names import CONTENT_ID, MEDIA_TYPE, METHOD
from postwerk.mime.headers import checked

_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,38}")
_PLAIN_NAME = re.compile(r"(?!.{61})[A-Za-z0-9._+-]+(?: [A-Za-z0-9._+-]+)*")
_PIECE = 18
"""Encoded octets of a name on one line, three characters each: with `filename*10*=` it stays below 76."""
_LINE_OCTETS, _LINE_WRITTEN = 57, 78


def attachment_part(attachment: Attachment, data: bytes | None = None) -> bytes:
    """Headers, blank line and body; base64, so that nothing in the file can pass for a boundary or a line.

    `data` is the file; left out, the attachment's text is.
    """
    disposition = "inline" if attachment.inline else "attachment"
    head = [
        f"Content-Type: {_media_type(attachment)}{_charset(attachment)}{_old_name(attachment.name)}",
        "Content-Transfer-Encoding: base64",
        *([f"Content-ID: <{_content_id(attachment)}>"] if attachment.content_id else []),
        f"Content-Disposition: {disposition}{parameter('filename', attachment.name)}",
    ]
    return "\r\n".join(head).encode("ascii") + b"\r\n\r\n" + base64_lines(octets(attachment, data))


def invitation_part(attachment: Attachment, data: bytes) -> bytes:
    """The calendar file as an alternative of the text: then mail programs offer yes and no (RFC 6047)."""
    if not METHOD.fullmatch(attachment.method):
        raise ContentError(f"{attachment.method!r} is no method of an invitation")
    head = f"Content-Type: text/calendar; charset=utf-8; method={attachment.method}\r\n"
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64_lines(data)


def octets(attachment: Attachment, data: bytes | None) -> bytes:
    """The file itself."""
    if data is not None:
        return data
    try:
        return attachment.text.encode()
    except UnicodeEncodeError:
        raise ContentError("the attachment contains half a character (a lone surrogate)") from None


def base64_lines(data: bytes) -> bytes:
    """RFC 2045 6.8: lines of 76 characters and CRLF."""
    return encodebytes(data).replace(b"\n", b"\r\n")


def encoded_size(octets: int) -> int:
    """How long `base64_lines` of so many octets is."""
    whole, rest = divmod(octets, _LINE_OCTETS)
    return whole * _LINE_WRITTEN + ((rest + 2) // 3 * 4 + 2 if rest else 0)


def parameter(name: str, value: str) -> str:
    """`; name=value` on lines of its own: as it is (RFC 2183), or percent-encoded in pieces (RFC 2231).

    Never both: half of the programs would show the poorer one. Those who know neither read `name` of the
    Content-Type.
    """
    value = checked(f"the {name}", value)
    if _PLAIN_NAME.fullmatch(value):
        return f';\r\n {name}="{value}"'
    pieces = _pieces("utf-8''" + quote(value, safe=""))
    if len(pieces) == 1:
        return f";\r\n {name}*={pieces[0]}"
    return "".join(f";\r\n {name}*{number}*={piece}" for number, piece in enumerate(pieces))


def _old_name(name: str) -> str:
    """The name as older programs read it: encoded words in quotes, which RFC 2047 5 forbids and all know."""
    name = checked("the filename", name)
    if _PLAIN_NAME.fullmatch(name):
        return f';\r\n name="{name}"'
    return f';\r\n name="{encode_words(name, 8)}"'


def _media_type(attachment: Attachment) -> str:
    kind = attachment.media_type
    if not MEDIA_TYPE.fullmatch(kind):
        raise ContentError(f"{kind!r} is no media type")
    # As `text/calendar` a second time, it would be offered twice.
    return "application/ics" if attachment.method else kind


def _charset(attachment: Attachment) -> str:
    charset = attachment.charset or ("" if attachment.blob else "utf-8")
    if not attachment.media_type.startswith("text/") or not charset or attachment.method:
        return ""
    if not _CHARSET.fullmatch(charset):
        raise ContentError(f"{charset!r} is no charset")
    return f"; charset={charset}"


def _content_id(attachment: Attachment) -> str:
    if not CONTENT_ID.fullmatch(attachment.content_id):
        raise ContentError(f"{attachment.content_id!r} is no content id")
    return attachment.content_id


def _pieces(encoded: str) -> list[str]:
    """Cut, but never within a `%C3`."""
    return re.findall(rf"(?:%..|[^%]){{1,{_PIECE}}}", encoded)
