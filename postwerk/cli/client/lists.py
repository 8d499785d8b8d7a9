"""Lists of recipients or addresses: what kind a file is, and its parts, however long it is.

A part is whole rows, so that each can be sent, and sent again, by itself; a CSV part has the header row.
"""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Literal, cast

from postwerk.cli.client.errors import Misused

PART_BYTES = 4 * 1024 * 1024
_HEAD_BYTES = 4096
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WITH_BOM = "utf-8-sig"
_BOM_AS_LATIN_1 = codecs.BOM_UTF8.decode("latin-1")

Kind = Literal["csv", "ndjson"]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a list, as they are sent."""

    body: bytes
    media_type: str
    rows_before: int
    """What to add to a row's number here to have its number in the list."""


@dataclass(frozen=True, slots=True)
class List:
    """A list that is open for reading; `charset` as declared, None: as the API guesses it."""

    name: str
    stream: BinaryIO
    kind: Kind
    charset: str | None = None

    def parts(self, size: int = PART_BYTES) -> Iterator[Part]:
        """The whole list in parts of about `size` bytes. Raises Misused for what is no CSV."""
        if self.kind == "ndjson":
            return _ndjson_parts(self.stream, size)
        return _csv_parts(self, size)


@contextmanager
def opened(path: str, kind: Kind | None = None, charset: str | None = None) -> Iterator[List]:
    """A list by its path, "-" for stdin. Without `kind` its first letter tells. Raises Misused."""
    if path == "-":
        yield _looked_at("stdin", _Again(sys.stdin.buffer), kind, charset)
        return
    try:
        with open(path, "rb") as file:
            yield _looked_at(path, _Again(file), kind, charset)
    except IsADirectoryError as error:
        raise Misused(f"{path} is a directory, not a list.") from error
    except (FileNotFoundError, PermissionError) as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from error


class _Again(io.RawIOBase):
    """A stream whose beginning can be looked at before it is read, a pipe too."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.head = stream.read(_HEAD_BYTES)
        self._left = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._left[: len(buffer)] or self._stream.read(len(buffer))
        self._left = self._left[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _looked_at(name: str, again: _Again, kind: Kind | None, charset: str | None) -> List:
    head, stream = again.head, cast(BinaryIO, io.BufferedReader(again))
    if head.startswith(_UTF16):
        charset = "utf-16"
    elif head.startswith(codecs.BOM_UTF8):
        charset = _WITH_BOM
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return List(name, stream, kind or ("ndjson" if text.startswith(b"{") else "csv"), charset)


def _ndjson_parts(stream: BinaryIO, size: int) -> Iterator[Part]:
    rows = 0
    while lines := stream.readlines(size):
        yield Part(b"".join(lines), "application/x-ndjson", rows)
        rows += len(lines)


def _csv_parts(given: List, size: int) -> Iterator[Part]:
    """Each with the header. Bytes go through as they are, but UTF-16 becomes UTF-8."""
    encoding = "utf-8" if _is_wide(given.charset) else "latin-1"  # latin-1 is every byte's own letter
    kind = _media_type(given.charset)
    records = _records(given, given.charset if _is_wide(given.charset) else "latin-1")
    header = _header(records).encode(encoding)
    rows, before, pending = 0, 0, bytearray()
    for rows, (text, _) in enumerate(records, 1):
        pending += text.encode(encoding)
        if len(pending) >= size:
            yield Part(header + pending, kind, before)
            before, pending = rows, bytearray()
    if pending or not before:
        yield Part(header + bytes(pending), kind, before)


def _header(records: Iterator[tuple[str, list[str]]]) -> str:
    """The text up to the first row that is not blank."""
    header = ""
    for text, cells in records:
        header += text
        if cells:
            break
    return header if header.endswith(("\n", "\r")) else f"{header}\n"


def _is_wide(charset: str | None) -> bool:
    return (charset or "").lower().replace("-", "").startswith("utf16")


def _media_type(charset: str | None) -> str:
    if charset is None:
        return "text/csv"
    return f"text/csv; charset={'utf-8' if _is_wide(charset) or charset == _WITH_BOM else charset}"


def csv_cells(given: List) -> Iterator[list[str]]:
    """The cells of each record, read as text: in the declared charset, else UTF-8, else Windows-1252."""
    for text, cells in _records(given, given.charset or "latin-1"):
        yield cells if given.charset or text.isascii() else [_guessed(cell) for cell in cells]


def _guessed(cell: str) -> str:
    data = cell.encode("latin-1")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _records(given: List, encoding: str | None) -> Iterator[tuple[str, list[str]]]:
    """Text and cells of each record, line breaks within quotes and all; delimiters as the API finds them."""
    row, seen = 0, list[str]()
    try:
        lines = io.TextIOWrapper(given.stream, encoding=encoding, newline="")
        beginning = _beginning(lines)
        delimiter = max(",;\t", key=beginning[-1].count)
        reader = csv.reader(_noted(chain(beginning, lines), seen), delimiter=delimiter, strict=True)
        for row, cells in enumerate(reader, 1):  # noqa: B007 (so is this one)
            yield "".join(seen), cells
            seen.clear()
    except csv.Error as error:
        raise Misused(f"{given.name}, row {row + 1} is not valid CSV: {error}.") from error
    except (UnicodeError, LookupError) as error:
        raise Misused(f"{given.name} is not in the charset {given.charset}.") from error


def _beginning(lines: Iterator[str]) -> list[str]:
    """The lines up to the first that is not blank, without a byte order mark."""
    found = [next(lines, "").removeprefix("\ufeff").removeprefix(_BOM_AS_LATIN_1)]
    while found[-1] and not found[-1].strip("\r\n"):
        found.append(next(lines, ""))
    return found


def _noted(lines: Iterator[str], seen: list[str]) -> Iterator[str]:
    for line in lines:
        seen.append(line)
        yield line
