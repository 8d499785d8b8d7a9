"""`postwerk audit`: who did what, when and why; the newest first."""

from __future__ import annotations

import argparse
from typing import Any

from postwerk.cli.client.http import Api
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import shown
from postwerk.cli.client.options import add_limit, ready
from postwerk.cli.client.tables import columns

_HEADS = columns("at", "~by", "action", "~target", ">count", "~reason")


def add_options(parser: argparse.ArgumentParser) -> None:
    ready(parser, show)
    parser.add_argument("--action", metavar="NAME", help="only these: queue.hold, bulk.pause, lane.set, ...")
    parser.add_argument("--by", metavar="NAME", help="only what this person did")
    add_limit(parser, 50)


def show(given: argparse.Namespace, api: Api) -> int:
    query = {"action": given.action, "by": given.by}
    return show_list(api, "/v1/audit", query, _HEADS, _row, given)


def _row(entry: dict[str, Any]) -> list[object]:
    fields = ("by", "action", "target", "count", "reason")
    return [shown(entry["at"]), *(entry[name] for name in fields)]
