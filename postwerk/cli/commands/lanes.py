"""`postwerk lanes`: how mailbox providers take our mail, and an operator's word about it (docs/lanes.md)."""

from __future__ import annotations

import argparse

from postwerk.cli.client.options import Work, add_reason, add_relay, later, leaf, ready, whole

_ALL = "known providers without mail too"
_SETTING = "Set a lane's limits: those named hold, all others of an operator are taken back."


def add_options(parser: argparse.ArgumentParser) -> None:
    ready(parser, _work("list_all"))
    parser.add_argument("--all", action="store_true", help=_ALL)
    add_relay(parser, default=None)
    commands = parser.add_subparsers(metavar="WHAT", title="what to do (list)")
    listing = leaf(commands, "list", "The lanes; those that rest or are paced first.", _work("list_all"))
    listing.add_argument("--all", action="store_true", default=argparse.SUPPRESS, help=_ALL)
    show = leaf(commands, "show", "One lane: limits, rest, last refusal.", _work("show"))
    setting = leaf(commands, "set", _SETTING, _work("set_limits"))
    rest = leaf(commands, "rest", "Send nothing on a lane for a while.", _work("rest"))
    resume = leaf(commands, "resume", "End a lane's rest and its slow recovery.", _work("resume"))
    for one in (show, setting, rest, resume):
        one.add_argument("lane", metavar="LANE", help="its name, or any domain of the provider")
    for one in (listing, show, setting, rest, resume):
        add_relay(one)
    for one in (setting, rest, resume):
        add_reason(one, required=True)
    _add_limits(setting)
    rest.add_argument("--for", dest="for_", metavar="TIME", required=True, help="30m, 2h, PT30M")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate", metavar="RATE", help='all workers together: 100/s, "30/min,burst=5", 1000/h'
    )
    parser.add_argument("--connections", type=whole(1), metavar="N", help="of each worker process")
    parser.add_argument("--messages-per-connection", type=whole(1), metavar="N")
    parser.add_argument("--none", action="store_true", help="take all limits of an operator back")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--for", dest="for_", metavar="TIME", help="they end by themselves after 7d, 12h, P1D")
    end.add_argument("--until", metavar="MOMENT", help="... or at a moment (RFC 3339)")


def _work(name: str) -> Work:
    return later("lane_work", name)
