"""`postwerk operations`: what was asked of many messages, and how far it is."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.follow import followed_operation
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import since
from postwerk.cli.client.operation import exit_code_of, operation_facts
from postwerk.cli.client.options import add_limit, leaf
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns

_HEADS = columns("id", "verb", "state", ">matched", ">changed", "by", "~reason", ">ago")


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    listing = leaf(commands, "list", "The operations, newest first.", list_all)
    add_limit(listing, 50)
    show = leaf(commands, "show", "One operation.", show_one)
    show.add_argument("id", metavar="ID")
    show.add_argument("--wait", action="store_true", help="until it has ended; exit code 1 when it failed")


def list_all(given: argparse.Namespace, api: Api) -> int:
    return show_list(api, "/v1/operations", {}, _HEADS, _row, given, most=200)


def _row(operation: dict[str, Any]) -> list[object]:
    ago = since(datetime.now(UTC), operation["created_at"])
    fields = ("id", "verb", "state", "matched", "changed", "by", "reason")
    return [*(operation[name] for name in fields), ago]


def show_one(given: argparse.Namespace, api: Api) -> int:
    operation = api.get(f"/v1/operations/{segment(given.id)}")
    if given.wait:
        operation = followed_operation(api, operation)
    if given.json:
        print_json(operation)
    else:
        print_lines(operation_facts(operation))
    return exit_code_of(operation) if given.wait else 0
