"""`postwerk queue shape`: as `qshape`, how many messages of which age wait for whom."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api
from postwerk.cli.client.moments import tell_if_old
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, table
from postwerk.cli.client.terminal import room, say

_MOST = 1000


def run(given: argparse.Namespace, api: Api) -> int:
    found = api.get(
        "/v1/queue/summary",
        {"by": given.by, "buckets": _checked(given.buckets), "limit": given.limit or _MOST},
    )
    if given.json:
        print_json(found)
        return 0
    print_lines(shape(found, room()))
    tell_if_old(found)
    if found["has_more"]:
        say(f"There are more than {len(found['data']):,} rows; --limit shows more.")
    return 0


def shape(found: dict[str, Any], wide: int | None) -> list[str]:
    """T is the total; a column counts what is younger than its minutes, and not counted before it."""
    ages = [f">{minutes}" for minutes in found["buckets"]]
    heads = columns("~", ">T", *ages, f">{found['buckets'][-1]}+")
    rows = [_row("TOTAL", found["total"]), *(_row(_name(row), row) for row in found["data"])]
    return table(heads, rows, wide)


def _row(name: str, row: dict[str, Any]) -> Sequence[object]:
    return [name, row["total"], *row["by_age"]]


def _name(row: dict[str, Any]) -> str:
    return f"{row['bulk_name']} {row['name']}" if row.get("bulk_name") else str(row["name"])


def _checked(buckets: str | None) -> str | None:
    """Raises Misused for what is no rising list of minutes."""
    if buckets is None:
        return None
    parts = buckets.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise Misused("--buckets: whole minutes, rising, such as 5,30,120.")
    return buckets
