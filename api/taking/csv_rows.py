"""CSV pieces into entries of a list: header row, any of three delimiters, quoted line breaks."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from api.taking.encoding import TextReader
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import NewRecipient, Refusal, find_nul, new_recipient, refusal

T = TypeVar("T")

LONGEST_RECORD = 1024 * 1024
"""Characters of one row. A quote that is never closed would swallow the rest of the list otherwise."""
MOST_COLUMNS = 500
LONGEST_HEADER = 200
_ADDRESS = ("to", "email", "address", "e-mail")
_NAME = "name"
_UNFINISHED = "unexpected end of data"  # the csv module's words for a quote still open


class CsvRows(ABC, Generic[T]):
    """Feed it bytes; it yields what it finds. `row` is the row a spreadsheet shows: the header is row 1."""

    def __init__(self, charset: str | None = None) -> None:
        self.row = 0
        self._text = TextReader(charset)
        self._pending = ""
        self._delimiter = ""
        self._header: list[str] = []
        self._address = 0

    def feed(self, data: bytes) -> Iterator[T | Refusal]:
        text = self._pending + self._text.feed(data)
        # What follows the last line break may go on in the next piece; so may a CR, with its LF.
        end = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1
        self._pending = text[end:]
        return self._read(text[:end], last=False)

    def finish(self) -> Iterator[T | Refusal]:
        text, self._pending = self._pending + self._text.feed(b"", last=True), ""
        yield from self._read(text, last=True)
        if not self._header:
            raise _wrong("The list has no header row.", "missing_header")

    def _read(self, text: str, *, last: bool) -> Iterator[T | Refusal]:
        if not self._delimiter and text.strip():
            self._delimiter = _sniff(text)
        lines = list(io.StringIO(text, newline=""))  # splits at LF, CR and CRLF only, and keeps them
        reader = csv.reader(lines, delimiter=self._delimiter or ",", strict=True)
        done = 0
        try:
            for cells in reader:
                done = reader.line_num
                self.row += 1
                if cells:
                    found = self._take(cells)
                    if found is not None:
                        yield found
        except csv.Error as error:
            if str(error) != _UNFINISHED or last:
                self.row += 1
                raise _wrong(_words(error), "invalid_csv") from error
            self._pending = "".join(lines[done:]) + self._pending
        if len(self._pending) > LONGEST_RECORD:
            raise _wrong(f"One row is longer than {LONGEST_RECORD:,} characters.", "invalid_csv")

    @abstractmethod
    def _know_columns(self, others: Sequence[str]) -> None:
        """The names of all columns but the address, once. Raises InvalidRequest."""

    @abstractmethod
    def _entry(self, address: str, others: dict[str, str]) -> T:
        """What a row becomes; `others` are its cells by column. Raises InvalidRequest."""

    def _take(self, cells: list[str]) -> T | Refusal | None:
        if not self._header:
            self._read_header(cells)
            return None
        if not any(cells):
            return None
        address = cells[self._address] if self._address < len(cells) else ""
        try:
            return self._entry(address, self._others(cells))
        except InvalidRequest as error:
            return refusal(self.row, address, error)

    def _others(self, cells: list[str]) -> dict[str, str]:
        if len(cells) != len(self._header):
            raise InvalidRequest(
                f"The row has {len(cells)} cells, the header {len(self._header)}.", code="invalid_row"
            )
        others = dict(zip(self._header, cells, strict=True))
        del others[self._header[self._address]]
        return others

    def _read_header(self, cells: list[str]) -> None:
        header = [cell.strip() for cell in cells]
        _check_header(header)
        plain = [name.lower() for name in header]
        addresses = [plain.index(name) for name in _ADDRESS if name in plain]
        if not addresses:
            raise _wrong('The header row needs a column "to", "email" or "address".', "missing_header")
        self._know_columns([name for index, name in enumerate(header) if index != addresses[0]])
        self._header, self._address = header, addresses[0]


class CsvReader(CsvRows[NewRecipient]):
    """Recipients of a bulk send: a column `name` is the name, all others are variables."""

    def _know_columns(self, others: Sequence[str]) -> None:
        self._name = next((name for name in others if name.lower() == _NAME), None)

    def _entry(self, address: str, others: dict[str, str]) -> NewRecipient:
        name = others.pop(self._name) if self._name is not None else None
        return new_recipient(address, name or None, others)


def _check_header(header: list[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise _wrong(f"The header row has more than {MOST_COLUMNS} columns.", "invalid_header")
    if not all(header):
        raise _wrong(f"Column {header.index('') + 1} of the header row has no name.", "invalid_header")
    if any(len(name) > LONGEST_HEADER for name in header) or find_nul(header):
        raise _wrong("A name in the header row is too long or holds a NUL character.", "invalid_header")
    plain = [name.lower() for name in header]
    twice = next((name for name in plain if plain.count(name) > 1), None)
    if twice is not None:
        raise _wrong(f"The header row has the column {twice[:50]!r} twice.", "invalid_header")


def _sniff(text: str) -> str:
    """The delimiter that the first line has most of."""
    first = text.lstrip("\r\n").splitlines()[0]
    return max(",;\t", key=first.count)


def _words(error: csv.Error) -> str:
    if str(error) == _UNFINISHED:
        return "A quote is opened and never closed."
    if "field larger" in str(error):
        return f"A cell is longer than {csv.field_size_limit():,} characters."
    return f"The row is not valid CSV: {error}."


def _wrong(message: str, code: str) -> InvalidRequest:
    return InvalidRequest(message, code=code)
