"""A list of the API, page by page: a table for people, JSON Lines for scripts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from postwerk.cli.client.http import Api
from postwerk.cli.client.output import print_json_line
from postwerk.cli.client.tables import Column, table
from postwerk.cli.client.terminal import by_state, room, say

Row = Callable[[dict[str, Any]], Sequence[object]]


def show_list(
    api: Api,
    path: str,
    query: Mapping[str, Any],
    heads: Sequence[Column],
    row: Row,
    given: argparse.Namespace,
    *,
    most: int = 1000,
) -> int:
    """Up to `given.limit` entries (0: all), each page shown as it comes; `most` fit a page."""
    titled = True
    page: dict[str, Any] = {}
    for page in api.pages(path, query, given.limit, most):
        if given.json:
            for entry in page["data"]:
                print_json_line(entry)
        else:
            show_rows(page["data"], heads, row, titled=titled)
        titled = False
    if page["has_more"]:
        say(f"There are more than {given.limit:,}; --limit 0 shows all of them.")
    return 0


def show_rows(
    entries: Sequence[dict[str, Any]], heads: Sequence[Column], row: Row, *, titled: bool = True
) -> None:
    """A table; a row has the colour of its entry's state."""
    lines = table(heads, [row(entry) for entry in entries], room(), titled=titled)
    if titled:
        print(lines.pop(0))
    for entry, line in zip(entries, lines, strict=True):
        print(by_state(line, str(entry.get("state", ""))))
