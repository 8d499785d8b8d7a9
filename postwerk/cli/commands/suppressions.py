"""`postwerk suppressions`: addresses that get no mail."""

from __future__ import annotations

import argparse
from typing import Any

from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import shown
from postwerk.cli.client.options import add_limit, later, leaf
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, facts
from postwerk.cli.client.terminal import safe, say

_HEADS = columns("~address", "scope", "reason", "source", "since", "~detail")


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    listing = leaf(commands, "list", "The entries, newest first.", list_all)
    listing.add_argument("--reason", metavar="NAME", help="user_unknown, complaint, manual, ...")
    listing.add_argument("--scope", choices=("all", "bulk"), help="all: no mail at all; bulk: no bulk sends")
    listing.add_argument("--source", choices=("reply", "dsn", "recipient", "complaint", "api", "import"))
    listing.add_argument("--search", metavar="TEXT", help="part of the address")
    add_limit(listing, 100)
    leaf(commands, "show", "One entry.", show).add_argument("address", metavar="ADDRESS")
    adding = leaf(commands, "add", "List addresses: they get no mail from now on.", add)
    adding.add_argument("addresses", nargs="+", metavar="ADDRESS")
    adding.add_argument("--reason", metavar="NAME", help="one word: manual, complaint, unsubscribe (manual)")
    adding.add_argument("--detail", metavar="TEXT", help="for people")
    removing = leaf(commands, "remove", "Take addresses off the list.", remove, json=False)
    removing.add_argument("addresses", nargs="+", metavar="ADDRESS")
    importing = leaf(commands, "import", "List the addresses of a CSV file.", later("suppression_import"))
    importing.add_argument("file", metavar="FILE", help="columns address, reason, detail; - is stdin")
    importing.add_argument("--charset", metavar="NAME", help="if it is not UTF-8")


def list_all(given: argparse.Namespace, api: Api) -> int:
    query = {"reason": given.reason, "scope": given.scope, "source": given.source, "q": given.search}
    return show_list(api, "/v1/suppressions", query, _HEADS, _row, given)


def _row(entry: dict[str, Any]) -> list[object]:
    since = shown(entry["created_at"])
    return [entry["address"], entry["scope"], entry["reason"], entry["source"], since, entry["detail"]]


def show(given: argparse.Namespace, api: Api) -> int:
    entry = api.get(f"/v1/suppressions/{segment(given.address)}")
    if given.json:
        print_json(entry)
        return 0
    names = ("address", "scope", "reason", "source", "detail", "bulk_send")
    since = ("since", shown(entry["created_at"]))
    print_lines(facts([*((name.replace("_", " "), entry[name]) for name in names), since]))
    return 0


def add(given: argparse.Namespace, api: Api) -> int:
    words = {"reason": given.reason, "detail": given.detail}
    body = {name: value for name, value in words.items() if value}
    # One by itself is refused as a whole when it is no address; of several, those that are none are named.
    which = {"addresses": given.addresses} if len(given.addresses) > 1 else {"address": given.addresses[0]}
    taken = api.call("POST", "/v1/suppressions", {**body, **which})
    return told(taken, as_json=given.json)


def told(taken: dict[str, Any], *, as_json: bool) -> int:
    """What was added; 1 when an address was refused."""
    if as_json:
        print_json(taken)
    else:
        print(f"{taken['added']:,} added, {taken['known']:,} listed before, {taken['rejected']:,} refused.")
        for one in taken["errors"]:
            say(f"row {one['row']}: {safe(one['address'])}: {safe(one['detail'])}")
    return 1 if taken["rejected"] else 0


def remove(given: argparse.Namespace, api: Api) -> int:
    for address in given.addresses:
        api.delete(f"/v1/suppressions/{segment(address)}")
        print(f"{safe(address)} is off the list.")
    return 0
