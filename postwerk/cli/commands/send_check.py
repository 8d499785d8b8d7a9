"""`postwerk send --dry-run`: the content and every recipient checked by the API, nothing stored or sent."""

from __future__ import annotations

import argparse
import codecs
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api
from postwerk.cli.client.lists import List, csv_cells, opened
from postwerk.cli.client.output import print_json
from postwerk.cli.commands.send_found import Found, tell

_AT_ONCE = 5000
_MOST_SAMPLES = 10
_WRONG_ROW = {"to": "", "code": "invalid_row"}
_ADDRESS = ("to", "email", "address", "e-mail")


class Row(NamedTuple):
    """A recipient as the API takes one, or why the row is none."""

    source: str
    """Name of its list."""
    number: int
    recipient: Any = None
    wrong: str = ""


def check(given: argparse.Namespace, api: Api, request: dict[str, Any]) -> int:
    """1 when recipients would be refused, or their mails cannot be made.

    `duplicates` are those within 5,000 recipients of each other.
    """
    inline = [Row("request", number, one) for number, one in enumerate(request.get("recipients") or [], 1)]
    rows = _rows(given, inline)
    found = Found()
    first = True
    while (chunk := list(islice(rows, _AT_ONCE))) or first:
        _add(found, api, request, chunk, bool(given.recipients), given.samples if first else 0)
        first = False
    if given.json:
        print_json(found.document())
    else:
        tell(found)
    return 1 if found.numbers["rejected"] or found.undefined else 0


def _rows(given: argparse.Namespace, inline: list[Row]) -> Iterator[Row]:
    yield from inline
    for path in given.recipients or ():
        with opened(path, given.format, given.charset) as one:
            yield from _csv_rows(one) if one.kind == "csv" else _ndjson_rows(one)


def _ndjson_rows(given: List) -> Iterator[Row]:
    for number, line in enumerate(given.stream, 1):
        if line.strip():
            try:
                yield Row(given.name, number, json.loads(line.removeprefix(codecs.BOM_UTF8)))
            except ValueError:
                yield Row(given.name, number, wrong="This is not valid JSON.")


def _csv_rows(given: List) -> Iterator[Row]:
    header: _Header | None = None
    for number, cells in enumerate(csv_cells(given), 1):
        if not any(cells):
            continue
        if header is None:
            header = _Header(given.name, cells)
        elif len(cells) != len(header.names):
            wrong = f"The row has {len(cells)} cells, the header {len(header.names)}."
            yield Row(given.name, number, wrong=wrong)
        else:
            yield Row(given.name, number, header.recipient(cells))


class _Header:
    """The columns as the API reads them: address, name, and all others as variables. Raises Misused."""

    def __init__(self, source: str, cells: list[str]) -> None:
        self.names = [cell.strip() for cell in cells]
        plain = [name.lower() for name in self.names]
        if len(set(plain)) < len(plain):
            raise Misused(f"{source}: the header row has a column twice.")
        addresses = [plain.index(name) for name in _ADDRESS if name in plain]
        if not addresses:
            raise Misused(f'{source}: the header row needs a column "to", "email" or "address".')
        self._address = addresses[0]
        self._name = plain.index("name") if "name" in plain else None

    def recipient(self, cells: list[str]) -> dict[str, Any]:
        own = (self._address, self._name)
        others = {self.names[index]: cell for index, cell in enumerate(cells) if index not in own}
        name = cells[self._name] if self._name is not None else ""
        return {"to": cells[self._address], "variables": others, **({"name": name} if name else {})}


def _add(
    found: Found, api: Api, request: dict[str, Any], chunk: list[Row], lists: bool, samples: int
) -> None:
    """Ask about these rows, and count the answer."""
    wrong = [row for row in chunk if row.wrong]
    asked = [row for row in chunk if not row.wrong]
    # With lists the request is an open one, as it will be: it may come without any recipient of its own.
    body = {**request, "recipients": [row.recipient for row in asked], **({"open": True} if lists else {})}
    answer = api.call(
        "POST", "/v1/bulk-sends", body, {"dry_run": True, "samples": min(samples, _MOST_SAMPLES)}
    )
    places = [{"list": row.source, "row": row.number} for row in asked]
    errors = [{**places[one["index"]], **_said(one)} for one in answer["errors"]]
    errors += [{"list": row.source, "row": row.number, **_WRONG_ROW, "detail": row.wrong} for row in wrong]
    found.add(answer, places, sorted(errors, key=lambda one: one["row"]), len(wrong))


def _said(error: dict[str, Any]) -> dict[str, Any]:
    return {name: error[name] for name in ("to", "code", "detail")}
