"""A file that goes along with a mail: its part, and how its name is written."""

from __future__ import annotations

import re
from base64 import encodebytes
from urllib.parse import quote

from postwerk.contracts.content import Attachment
from postwerk.errors import ContentError
from postwerk.mime.headers import checked

_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,60}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 ._+-]{1,60}")
_PIECE = 18
"""Encoded octets of a name on one line, three characters each: with `filename*10*=` it stays below 76."""


def attachment_part(attachment: Attachment) -> bytes:
    """Headers, blank line and body; base64, so that nothing in the text can pass for a boundary or a line."""
    if not _MEDIA_TYPE.fullmatch(attachment.media_type):
        raise ContentError(f"{attachment.media_type!r} is no media type")
    try:
        body = encodebytes(attachment.text.encode()).replace(b"\n", b"\r\n")
    except UnicodeEncodeError:
        raise ContentError("the attachment contains half a character (a lone surrogate)") from None
    charset = "; charset=utf-8" if attachment.media_type.startswith("text/") else ""
    head = (
        f"Content-Type: {attachment.media_type}{charset}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment{parameter('filename', attachment.name)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def parameter(name: str, value: str) -> str:
    """`; name=value` on lines of its own: as it is (RFC 2183), or percent-encoded in pieces (RFC 2231)."""
    value = checked(f"the {name}", value)
    if _PLAIN_NAME.fullmatch(value):
        return f';\r\n {name}="{value}"'
    pieces = _pieces("utf-8''" + quote(value, safe=""))
    if len(pieces) == 1:
        return f";\r\n {name}*={pieces[0]}"
    return "".join(f";\r\n {name}*{number}*={piece}" for number, piece in enumerate(pieces))


def _pieces(encoded: str) -> list[str]:
    """Cut, but never within a `%C3`."""
    return re.findall(rf"(?:%..|[^%]){{1,{_PIECE}}}", encoded)
