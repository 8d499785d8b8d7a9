"""`postwerk events`: what happened, oldest first; with --follow what happens, as it does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from postwerk.cli.client.http import Api
from postwerk.cli.client.moments import shown
from postwerk.cli.client.options import add_limit, ready
from postwerk.cli.client.output import print_json_line
from postwerk.cli.client.terminal import by_state, safe, say

_MOST = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    ready(parser, show)
    parser.add_argument(
        "--follow", action="store_true", help="what happens from now on (or behind --after), until Ctrl-C"
    )
    parser.add_argument(
        "--type",
        action="append",
        metavar="TYPE",
        help="only these: message.bounced, bulk_send.completed, ... (docs/events.md); several times",
    )
    parser.add_argument("--bulk-send", metavar="ID", help="only what is about this one")
    parser.add_argument(
        "--no-repeated",
        dest="repeated",
        action="store_false",
        help="no deferrals for the same reason as before",
    )
    parser.add_argument("--after", metavar="ID", help="only what came behind this event")
    add_limit(parser, 100)


def show(given: argparse.Namespace, api: Api) -> int:
    query = {"type": given.type, "bulk_send": given.bulk_send, "repeated": given.repeated}
    for event in _followed(given, api, query) if given.follow else _listed(given, api, query):
        _print(event, as_json=given.json)
    return 0


def _listed(given: argparse.Namespace, api: Api, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Up to `given.limit`; a page may be empty though there are more behind it."""
    left, after, has_more = given.limit or None, given.after, True
    while has_more and left != 0:
        size = _MOST if left is None else min(left, _MOST)
        page = api.get("/v1/events", {**query, "limit": size, "after": after})
        yield from page["data"]
        left = None if left is None else left - len(page["data"])
        after, has_more = page["next"], page["has_more"]
    if has_more:
        say(f"There are more: --after {safe(after)}, or --limit 0 for all of them.")


def _followed(given: argparse.Namespace, api: Api, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from postwerk.cli.client.streaming import followed_events

    return followed_events(api, "/v1/events/stream", query, given.after)


def _print(event: dict[str, Any], *, as_json: bool) -> None:
    """At once, also into a pipe."""
    if as_json:
        print_json_line(event)
    else:
        about, _, what = str(event["type"]).partition(".")
        line = f"{shown(event['timestamp'])}  {event['type']:<22}  {_words(event['data'])}"
        print(by_state(line, what if about == "message" else ""))
    _flush()


def _flush() -> None:
    import sys

    sys.stdout.flush()


def _words(data: dict[str, Any]) -> str:
    """Whom or what it is about, why, and what the server said."""
    about = next((data[name] for name in _ABOUT if data.get(name)), "the relay" if "lane" in data else "")
    reply = data.get("reply") or {}
    said = " ".join(str(reply[name]) for name in ("code", "enhanced", "text") if name in reply)
    until = data.get("until") or data.get("next_attempt_at")
    words = [about, data.get("reason", ""), f"until {shown(until)}" if until else "", said]
    return "  ".join(safe(word) for word in words if word)


_ABOUT = ("to", "address", "bulk_send_id", "lane")
