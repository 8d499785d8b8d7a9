"""`postwerk bulk`: bulk sends as a whole."""

from __future__ import annotations

import argparse

from postwerk.cli.client.operation import add_operation
from postwerk.cli.client.options import add_limit, add_reason, later, leaf, pair, whole
from postwerk.cli.client.times import add_times

STATES = (
    *("storing", "open", "scheduled", "queued", "running", "paused"),
    *("cancelling", "completed", "cancelled", "failed"),
)
KINDS = ("bulk", "message", "test", "notice", "model")
FAILED_STATES = ("bounced", "expired", "failed", "cancelled", "unknown", "suppressed")
_WORDS = {
    "pause": "Start no further transaction; the deadlines' clocks stand still.",
    "resume": "Go on after a pause.",
    "cancel": "Stop for good: what is not handed over ends cancelled.",
    "start": "Close the list of an open bulk send and start it.",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    listing = leaf(commands, "list", "The bulk sends, newest first.", later("bulk_read", "list_all"))
    listing.add_argument("--state", action="append", default=[], choices=STATES, help="repeatable")
    listing.add_argument(
        "--kind", action="append", default=[], choices=KINDS, help="what else is stored as a send; repeatable"
    )
    add_limit(listing, 50)
    for name, help in (("show", "One bulk send."), ("watch", "Watch one until it has ended.")):
        leaf(commands, name, help, later("bulk_read", name)).add_argument("id", metavar="ID")
    for name, help in _WORDS.items():
        _add_order(leaf(commands, name, help, later("bulk_order", "order")), name)
    _add_test(leaf(commands, "test", "Send yourself a mail of it.", later("bulk_order", "test")))
    _add_retry(
        leaf(commands, "retry-failed", "Start what failed again.", later("bulk_order", "retry_failed"))
    )
    _add_change(leaf(commands, "change", "Change one under way.", later("bulk_order", "change")))


def _add_order(parser: argparse.ArgumentParser, name: str) -> None:
    parser.set_defaults(order=name)
    parser.add_argument("id", metavar="ID")
    if name == "start":
        parser.add_argument("--at", metavar="MOMENT", help="when it begins (RFC 3339); none: at once")
    else:
        add_reason(parser, required=name == "pause")
    if name == "cancel":
        parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="BULK")
    parser.add_argument("to", metavar="ADDRESS", help="who gets it")
    parser.add_argument(
        "--as", dest="as_", type=whole(1), metavar="SEQ", help="whose mail it shows (the first)"
    )
    parser.add_argument(
        "--var", action="append", type=pair, default=[], metavar="NAME=VALUE", help="instead; repeatable"
    )


def _add_retry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    which = parser.add_argument_group("which messages (criteria are ANDed)")
    which.add_argument(
        "--state",
        action="append",
        default=[],
        choices=FAILED_STATES,
        help="ended so; repeatable (bounced, expired, failed)",
    )
    which.add_argument("--provider", metavar="DOMAIN")
    which.add_argument("--domain", metavar="DOMAIN")
    which.add_argument("--recipient", metavar="ADDRESS")
    which.add_argument("--code", metavar="CODE", help="last reply: 550, 5xx")
    which.add_argument("--reason-is", metavar="NAME", help="last outcome's reason: user_unknown, ...")
    add_reason(parser)
    add_operation(parser)


def _add_change(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--rate", metavar="RATE", help='100/s, "30/min,burst=5", 1000/h; none: no limit')
    parser.add_argument("--deadline", metavar="WHEN", help="3d after it began, or a moment (RFC 3339)")
    add_times(parser, none="; none: takes it back, and begins now")
    parser.add_argument("--retry", metavar="SCHEDULE", help="bulk, postfix, 1m,5m,1h or initial=5m,factor=2")
    parser.add_argument("--relay", metavar="NAME", help="another relay; none: the default one")
    parser.add_argument("--name", metavar="TITLE")
    add_reason(parser)
