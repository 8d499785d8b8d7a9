"""`postwerk relay`: the server that takes our mail."""

from __future__ import annotations

import argparse
from typing import Any

from postwerk.cli.client.http import Api
from postwerk.cli.client.moments import shown
from postwerk.cli.client.options import add_reason, add_relay, leaf, ready
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import facts
from postwerk.cli.commands.lane_work import refusal_words, rest_words


def add_options(parser: argparse.ArgumentParser) -> None:
    ready(parser, show)
    commands = parser.add_subparsers(metavar="WHAT", title="what to do (show)")
    looking = leaf(commands, "show", "How it does, and when it is tried again.", show)
    rest = leaf(commands, "rest", "Send nothing at all for a while.", order)
    resume = leaf(commands, "resume", "Try it at once.", order)
    rest.add_argument("--for", dest="for_", metavar="TIME", required=True, help="30m, 2h, PT30M")
    resume.set_defaults(for_=None)
    for one in (rest, resume):
        add_reason(one, required=True)
    add_relay(parser, default=None)
    for one in (looking, rest, resume):
        add_relay(one)


def show(given: argparse.Namespace, api: Api) -> int:
    return _told(given, api.get("/v1/relay", {"relay": given.relay}))


def order(given: argparse.Namespace, api: Api) -> int:
    wanted = {"cool_down": given.for_, "reason": given.reason}
    return _told(given, api.call("PUT", "/v1/relay", wanted, {"relay": given.relay}))


def _told(given: argparse.Namespace, relay: dict[str, Any]) -> int:
    if given.json:
        print_json(relay)
    else:
        print_lines(_facts(relay))
    return 0


def _facts(relay: dict[str, Any]) -> list[str]:
    return facts(
        [
            ("relay", relay["name"]),
            ("server", relay["server"]),
            ("state", relay["state"]),
            ("failures", relay["failures"] or ""),
            ("next try", shown(relay["next_probe_at"])),
            ("rests", rest_words(relay["cool_down"])),
            ("last refusal", refusal_words(relay["last_refusal"])),
            ("rate", relay["rate"]["value"]),
        ]
    )
