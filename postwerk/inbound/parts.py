"""A mail cut into its parts, within limits and without looking into the value of any field.

It stands before every other parser: what is nested too deep, or has too many parts or fields, reaches none.
Lines may end in CRLF or LF, as in mail that went through a file.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

HEADER_BYTES = 64 * 1024
HEADER_LINES = 1000
DEPTH = 20
PARTS = 200
_LONGEST_FIELD = 16 * 1024
_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:[ \t]*(.*)", re.DOTALL)
_KIND = re.compile(r"\s*([a-z0-9.+_-]{1,100}/[a-z0-9.+_-]{1,100})", re.IGNORECASE)
_BOUNDARY = re.compile(r";\s*boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_ENCODED = re.compile(rb"[^A-Za-z0-9+/=]")
_MAIL = ("message/rfc822", "message/global")
_NESTING = re.compile(
    rb"^content-type:[ \t]*(?:\r?\n[ \t]+)?(?:multipart|message)/", re.IGNORECASE | re.MULTILINE
)
_MOST_NESTING = 2 * DEPTH


class TooComplex(Exception):
    """A limit was passed; the argument says which."""


@dataclass(slots=True)
class Part:
    """One part: its fields, and either its parts or its body, still in its transfer encoding."""

    kind: str
    """Media type in lower case."""
    fields: list[tuple[str, str]]
    """Names in lower case, values unfolded, of every field."""
    body: bytes
    parts: list[Part] = field(default_factory=list)

    def field(self, name: str) -> str:
        """The first field of this name; empty without one."""
        return next((value for known, value in self.fields if known == name), "")

    def walk(self) -> Iterator[Part]:
        """Itself and all below."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def content(self) -> bytes:
        """The body without its transfer encoding; as it is, where that cannot be undone."""
        encoding = self.field("content-transfer-encoding").strip().lower()
        if encoding == "base64":
            return _from_base64(self.body)
        return quopri.decodestring(self.body) if encoding == "quoted-printable" else self.body

    def text(self, longest: int) -> str:
        """So many bytes of the content as text; bytes that are no UTF-8 are read as Latin-1."""
        content = self.content()[:longest]
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content.decode("latin-1")


@dataclass(slots=True)
class _Used:
    header_bytes: int = 0
    header_lines: int = 0
    parts: int = 0


def cut(raw: bytes) -> Part:
    """The mail in parts. Raises TooComplex."""
    if sum(1 for _ in _NESTING.finditer(raw)) > _MOST_NESTING:
        raise TooComplex("nested too often")
    return _cut(raw, 0, _Used())


def fields_in(block: bytes) -> list[tuple[str, str]]:
    """The fields of a block of header lines. Raises TooComplex."""
    return _read_fields(block, 0, _Used())[0]


def _cut(block: bytes, depth: int, used: _Used) -> Part:
    used.parts += 1
    if depth > DEPTH:
        raise TooComplex(f"nested deeper than {DEPTH}")
    if used.parts > PARTS:
        raise TooComplex(f"more than {PARTS} parts")
    fields, end = _read_fields(block, 0, used)
    part = Part("text/plain", fields, block[end:])
    declared = part.field("content-type")[:2000]
    kind = _KIND.match(declared)
    part.kind = kind[1].lower() if kind else "text/plain"
    if part.kind.startswith("multipart/"):
        part.parts = [_cut(piece, depth + 1, used) for piece in _pieces(part.body, declared)]
    elif part.kind in _MAIL:
        part.parts = [_cut(part.content(), depth + 1, used)]
    return part


def _pieces(body: bytes, declared: str) -> Iterator[bytes]:
    """What stands between the boundary lines (RFC 2046 5.1.1)."""
    found = _BOUNDARY.search(f";{declared.partition(';')[2]}")
    if found is None:
        return
    boundary = (found[1] or found[2]).encode("utf-8", "surrogateescape")
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
    start = None
    for mark in line.finditer(body):
        if start is not None:
            yield body[start : mark.start()]
        start = None if mark[1] else mark.end()
        if start is None:
            return
    if start is not None:  # it broke off: what is there counts
        yield body[start:]


def _read_fields(block: bytes, start: int, used: _Used) -> tuple[list[tuple[str, str]], int]:
    """The fields from `start` on, and where the body begins. Raises TooComplex."""
    fields: list[tuple[str, str]] = []
    lines: list[bytes] = []
    while start < len(block):
        end = block.find(b"\n", start, start + HEADER_BYTES + 1)
        if end < 0:
            if len(block) - start > HEADER_BYTES:
                raise TooComplex(f"more than {HEADER_BYTES:,} bytes of fields")
            end = len(block) - 1
        line = block[start : end + 1]
        continues = line[:1] in (b" ", b"\t") and bool(lines)
        if not line.strip() or not (continues or _FIELD.match(line) or line.startswith(b"From ")):
            start = end + 1 if not line.strip() else start
            break
        _count(used, len(line))
        if not continues:
            _add(fields, lines)
            lines = []
        lines.append(line)
        start = end + 1
    _add(fields, lines)
    return fields, start


def _count(used: _Used, size: int) -> None:
    used.header_bytes += size
    used.header_lines += 1
    if used.header_bytes > HEADER_BYTES:
        raise TooComplex(f"more than {HEADER_BYTES:,} bytes of fields")
    if used.header_lines > HEADER_LINES:
        raise TooComplex(f"more than {HEADER_LINES:,} lines of fields")


def _add(fields: list[tuple[str, str]], lines: list[bytes]) -> None:
    found = _FIELD.match(b"".join(lines)) if lines else None
    if found is not None:
        value = b" ".join(found[2].split())[:_LONGEST_FIELD].decode("utf-8", "replace")
        fields.append((found[1].decode("ascii").lower(), value))


def _from_base64(body: bytes) -> bytes:
    plain = _ENCODED.sub(b"", body).rstrip(b"=")
    plain = plain[: len(plain) // 4 * 4] if len(plain) % 4 == 1 else plain
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return body
