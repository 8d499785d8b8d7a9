"""Entries of the suppression list out of JSON and CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from api.suppression_schemas import REASON, SuppressionRequest
from api.taking.csv_rows import CsvRows
from postwerk.archive.suppressions import NewSuppression
from postwerk.errors import InvalidRequest
from postwerk.rules.addresses import parse_address, parse_mailbox
from postwerk.rules.recipients import Refusal, refusal

LONGEST_DETAIL = 1000
MANUAL = "manual"

_REASON = re.compile(REASON, re.ASCII)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """An entry as it is written."""

    address: Any
    reason: str | None = None
    detail: str | None = None


_decode = msgspec.json.Decoder(str | _Entry).decode


def new_suppression(address: object, reason: str = MANUAL, detail: str = "") -> NewSuppression:
    """The entry as it will be stored. Raises InvalidRequest pointing at the field."""
    if not _REASON.fullmatch(reason):
        raise InvalidRequest(
            "A reason is one word of a-z, 0-9 and _, at most 40 long.",
            pointer="#/reason",
            code="invalid_reason",
        )
    return NewSuppression(_address(address), reason, _plain(detail))


def _plain(detail: str) -> str:
    """One line, as people read it: a server's words come in several, some with escape codes."""
    return " ".join(_UNPRINTABLE.sub(" ", detail).split())[:LONGEST_DETAIL]


def read_entries(
    entries: Sequence[msgspec.Raw], defaults: SuppressionRequest
) -> Iterator[NewSuppression | Refusal]:
    """The entries of a JSON list: addresses, or objects with an address."""
    for row, document in enumerate(entries):
        try:
            yield _entry(document, defaults)
        except InvalidRequest as error:
            yield refusal(row, _address_of(document), error)


class SuppressionCsv(CsvRows[NewSuppression]):
    """A CSV list with the column `address`, `email` or `to`, and if you like `reason` and `detail`."""

    def _know_columns(self, others: Sequence[str]) -> None:
        columns = {name.lower(): name for name in others}
        for name in columns.keys() - {"reason", "detail"}:
            raise InvalidRequest(
                f"The column {columns[name][:50]!r} is not known here; leave it out.", code="unknown_column"
            )
        self._reason, self._detail = columns.get("reason", ""), columns.get("detail", "")

    def _entry(self, address: str, others: dict[str, str]) -> NewSuppression:
        reason = others.get(self._reason, "").strip() or MANUAL
        return new_suppression(address, reason, others.get(self._detail, ""))


def _entry(document: msgspec.Raw, defaults: SuppressionRequest) -> NewSuppression:
    try:
        entry = _decode(document)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{str(error)[:200]}.", code="invalid_entry") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("This is not valid JSON.", code="invalid_entry") from error
    if isinstance(entry, str):
        return new_suppression(entry, defaults.reason, defaults.detail)
    reason = defaults.reason if entry.reason is None else entry.reason
    return new_suppression(entry.address, reason, defaults.detail if entry.detail is None else entry.detail)


def _address(address: object) -> str:
    if not isinstance(address, str):
        raise InvalidRequest("The address must be text.", pointer="#/address", code="invalid_address")
    try:
        return parse_mailbox(address).email if "<" in address else parse_address(address)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, pointer="#/address", code=error.code) from error


def _address_of(document: msgspec.Raw) -> object:
    """The address of an entry that is wrong elsewhere, so that its owner finds it."""
    try:
        entry = msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return entry.get("address") if isinstance(entry, dict) else entry
