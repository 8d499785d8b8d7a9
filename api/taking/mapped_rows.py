"""CSV whose columns somebody has said the meaning of, with a header row or without; and its first rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from api.taking.csv_rows import LONGEST_HEADER, MOST_COLUMNS, CsvRows
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import NewRecipient, Refusal, new_recipient, refusal


class Columns(msgspec.Struct, frozen=True):
    """What the columns of a list mean; they are counted from 0."""

    address: int
    name: int | None
    variables: dict[int, str]
    """What each of the others is called; one that is not here is left out."""
    width: int
    has_header: bool = True


class MappedReader(CsvRows[NewRecipient]):
    """Recipients of a list whose columns are known, instead of by the names in its header row."""

    def __init__(self, columns: Columns, charset: str | None = None) -> None:
        super().__init__(charset)
        self._columns = columns

    def _know_columns(self, others: Sequence[str]) -> None:
        """The header row says nothing here."""

    def _take(self, cells: list[str]) -> NewRecipient | Refusal | None:
        is_first, self._header = not self._header, ["known"]
        if (is_first and self._columns.has_header) or not any(cells):
            return None
        address = cells[self._columns.address] if self._columns.address < len(cells) else ""
        try:
            return self._recipient(address, cells)
        except InvalidRequest as error:
            return refusal(self.row, address, error)

    def _recipient(self, address: str, cells: list[str]) -> NewRecipient:
        columns = self._columns
        if len(cells) != columns.width:
            raise InvalidRequest(
                f"The row has {len(cells)} cells, the first row {columns.width}.", code="invalid_row"
            )
        return self._entry(address, {name: cells[at] for at, name in columns.variables.items()}, cells)

    def _entry(self, address: str, others: dict[str, str], cells: Sequence[str] = ()) -> NewRecipient:
        name = cells[self._columns.name] if self._columns.name is not None else ""
        return new_recipient(address, name or None, others)


class FirstRows(CsvRows[list[str]]):
    """The cells of the first rows as they are."""

    def _know_columns(self, others: Sequence[str]) -> None:
        """The header row is a row like any other."""

    def _entry(self, address: str, others: dict[str, str]) -> list[str]:
        return [address, *others.values()]

    def _take(self, cells: list[str]) -> list[str] | None:
        self._header = ["known"]
        return cells if any(cells) else None


def first_rows(data: bytes, most: int, *, is_all: bool, charset: str | None = None) -> list[list[str]]:
    """The first rows of a list by its first piece, as far as it can be read.

    Raises InvalidRequest for what is no CSV, or too wide.
    """
    found: list[list[str]] = []
    try:
        for row in _rows(FirstRows(charset), data, is_all):
            found.append(row)
            if len(found) == most:
                break
    except InvalidRequest:
        if not found:
            raise
    return _checked(found)


def _rows(reader: FirstRows, data: bytes, is_all: bool) -> Iterator[list[str]]:
    for rows in (reader.feed(data), reader.finish() if is_all else ()):
        for row in rows:
            if isinstance(row, list):
                yield row


def _checked(rows: list[list[str]]) -> list[list[str]]:
    if not rows:
        raise InvalidRequest("There is nothing in this list.", code="missing")
    if len(rows[0]) > MOST_COLUMNS:
        raise InvalidRequest(f"The list has more than {MOST_COLUMNS} columns.", code="invalid_header")
    if any(len(cell) > LONGEST_HEADER for cell in rows[0]):
        raise InvalidRequest(
            f"The first row has a cell of more than {LONGEST_HEADER} characters.", code="invalid_header"
        )
    return rows
