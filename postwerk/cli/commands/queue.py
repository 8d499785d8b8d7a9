"""`postwerk queue`: the open messages."""

from __future__ import annotations

import argparse

from postwerk.cli.client.filters import add_filter
from postwerk.cli.client.operation import add_operation
from postwerk.cli.client.options import add_limit, add_reason, later, leaf

BY = ("provider", "domain", "bulk", "reason", "state")
VERBS = {
    "retry": "Try deferred messages now; the pace and the rests of lanes are kept.",
    "hold": "Do not try messages, and stop their deadline's clock. --bulk or --all alone pause the sends.",
    "release": "Let held messages go. --bulk or --all alone resume the sends too.",
    "cancel": "End messages unsent. --bulk or --all alone cancel the sends.",
    "expire": "End messages as if their deadline had passed; the sender is told as of any failure.",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    _add_list(leaf(commands, "list", "Open messages: * is being sent, ! is held.", _list))
    add_filter(leaf(commands, "count", "How many, by state.", _count), everything=False)
    _add_shape(leaf(commands, "shape", "How many, by provider and age: minutes since acceptance.", _shape))
    _add_show(leaf(commands, "show", "One message, open or final: state, attempts, bytes.", _show))
    for verb, help in VERBS.items():
        _add_change(leaf(commands, verb, help, _change), verb)


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_filter(parser, everything=False)
    add_limit(parser, 100)


def _add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", choices=BY, default="provider", help="what a row is (provider)")
    parser.add_argument("--buckets", metavar="M,M,...", help="ages in minutes (5,10,20,...,1280)")
    add_limit(parser, 50)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="<bulk id>.<number>")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--log", action="store_true", help="only its attempts")
    parts.add_argument("--headers", action="store_true", help="the header of the mail")
    parts.add_argument("--raw", action="store_true", help="the mail, byte for byte unless at a terminal")


def _add_change(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.set_defaults(verb=verb)
    add_filter(parser)
    add_reason(parser)
    add_operation(parser)
    if verb in ("cancel", "expire"):
        parser.add_argument("--yes", action="store_true", help="do not ask")


_list, _count, _shape = later("queue_list"), later("queue_count"), later("queue_shape")
_show, _change = later("queue_show"), later("queue_change")
