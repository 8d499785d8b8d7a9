"""`postwerk suspend`: send nothing to a domain or a provider for a while.

`suspend DOMAIN --for 30m --reason ...` needs no verb: no domain is called `list`, `show` or `end`, for each
that gets mail has a dot.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import shown, until
from postwerk.cli.client.options import add_limit, add_reason, ready
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, facts

_HEADS = columns("id", "~what", "active", "ends", ">left", "~by", "~reason")
_USAGE = (
    "%(prog)s DOMAIN --for TIME --reason TEXT\n"
    "       %(prog)s --provider DOMAIN --for TIME --reason TEXT\n"
    "       %(prog)s list [--ended] [--limit N]\n"
    "       %(prog)s show ID\n"
    "       %(prog)s end ID"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = _USAGE
    ready(parser, run)
    parser.add_argument(
        "words", nargs="*", metavar="DOMAIN | list | show ID | end ID", help="what to suspend, or what to do"
    )
    parser.add_argument("--provider", metavar="DOMAIN", help="all domains of this mailbox provider")
    parser.add_argument("--for", dest="for_", metavar="TIME", help="1s to 30d: 30m, 2h, P1D")
    add_reason(parser)
    parser.add_argument("--ended", action="store_true", help="list: those that are over too")
    add_limit(parser, 50)


def run(given: argparse.Namespace, api: Api) -> int:
    """What is meant by the words. Raises Misused."""
    match given.words:
        case ["list"]:
            return _list(given, api)
        case ["show", name]:
            return _told(given, api.get(_path(name)))
        case ["end", name]:
            return _told(given, api.call("DELETE", _path(name)))
        case [] if given.provider:
            return _begin(given, api, {"provider": given.provider})
        case [domain] if not given.provider and domain not in ("show", "end"):
            return _begin(given, api, {"domain": domain})
    raise Misused("Name one domain, or --provider, or say list, show ID or end ID (suspend --help).")


def _begin(given: argparse.Namespace, api: Api, what: dict[str, str]) -> int:
    if not given.for_ or not given.reason:
        raise Misused("Say for how long and why: --for 30m --reason TEXT.")
    return _told(
        given, api.call("POST", "/v1/suspensions", {**what, "for": given.for_, "reason": given.reason})
    )


def _list(given: argparse.Namespace, api: Api) -> int:
    query = {} if given.ended else {"active": True}
    return show_list(api, "/v1/suspensions", query, _HEADS, _row, given, most=200)


def _row(one: dict[str, Any]) -> list[object]:
    left = until(datetime.now(UTC), one["until"]) if one["active"] else ""
    active = "yes" if one["active"] else "no"
    return [
        one["id"],
        _what(one),
        active,
        shown(one["ended_at"] or one["until"]),
        left,
        one["by"],
        one["reason"],
    ]


def _what(one: dict[str, Any]) -> str:
    return str(one["domain"]) if one["domain"] else f"provider {one['provider']}"


def _path(name: str) -> str:
    return f"/v1/suspensions/{segment(name)}"


def _told(given: argparse.Namespace, one: dict[str, Any]) -> int:
    if given.json:
        print_json(one)
        return 0
    ended = f"{shown(one['ended_at'])} by {one['ended_by']}" if one["ended_at"] else ""
    pairs = [("suspension", one["id"]), ("what", _what(one)), ("until", shown(one["until"]))]
    pairs += [("ended", ended), ("by", one["by"]), ("reason", one["reason"])]
    print_lines(facts(pairs))
    return 0
