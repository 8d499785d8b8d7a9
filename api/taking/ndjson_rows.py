"""NDJSON pieces, and entries of a JSON list, into recipients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from api.errors import MalformedBody
from api.taking.strict_json import check_keys, count_keys, malformed
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import NewRecipient, Refusal, new_recipient, refusal

LONGEST_LINE = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """A recipient as it is written."""

    to: Any
    name: str | None = None
    variables: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Entry).decode


def read_entry(row: int, document: bytes | msgspec.Raw) -> NewRecipient | Refusal:
    """The recipient that one JSON object describes."""
    to: object = ""
    try:
        entry = _decode(document)
        to = entry.to
        _check_keys(document, entry)
        return new_recipient(to, entry.name, entry.variables, entry.metadata)
    except InvalidRequest as error:
        return refusal(row, to, error)
    except MalformedBody as error:
        return refusal(row, to, InvalidRequest(error.message, pointer=error.pointer, code=error.code))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return refusal(row, _address_of(document), _not_an_entry(document, error))


class NdjsonReader:
    """Feed it bytes; it yields what it finds. `row` is the line, from 1."""

    def __init__(self) -> None:
        self.row = 0
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[NewRecipient | Refusal]:
        *lines, self._pending = (self._pending + data).split(b"\n")
        if self.row == 0 and lines:
            lines[0] = lines[0].removeprefix(_BOM)
        yield from self._read(lines)
        if len(self._pending) > LONGEST_LINE:
            self.row += 1
            raise _too_long()

    def finish(self) -> Iterator[NewRecipient | Refusal]:
        pending = self._pending.removeprefix(_BOM) if self.row == 0 else self._pending
        yield from self._read([pending])

    def _read(self, lines: list[bytes]) -> Iterator[NewRecipient | Refusal]:
        for line in lines:
            self.row += 1
            if len(line) > LONGEST_LINE:
                raise _too_long()
            if line and not line.isspace():
                yield read_entry(self.row, line)


def _too_long() -> InvalidRequest:
    return InvalidRequest(f"One line is longer than {LONGEST_LINE:,} bytes.", code="invalid_row")


def _check_keys(document: bytes | msgspec.Raw, entry: _Entry) -> None:
    """Raises MalformedBody for a key that stands twice."""
    known = 1 if entry.name is None else 2
    if entry.variables is not None:
        known += 1 + count_keys(entry.variables)
    if entry.metadata is not None:
        known += 1 + count_keys(entry.metadata)
    if isinstance(entry.to, dict):
        known += count_keys(entry.to)
    check_keys(bytes(document), known)


def _not_an_entry(document: bytes | msgspec.Raw, error: Exception) -> InvalidRequest:
    if isinstance(error, msgspec.ValidationError):
        return InvalidRequest(f"{str(error)[:200]}.", code="invalid_recipient")
    if isinstance(error, RecursionError):
        return InvalidRequest("This is nested too deep.", code="invalid_recipient")
    found = malformed(bytes(document), "#")
    return InvalidRequest(found.message, pointer=found.pointer, code="invalid_recipient")


def _address_of(document: bytes | msgspec.Raw) -> object:
    """The address of an entry that is wrong elsewhere, so that its owner finds it."""
    try:
        entry = msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return entry.get("to") if isinstance(entry, dict) else ""
