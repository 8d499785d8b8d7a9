"""Which messages are meant: the filter's options, and the filter as the API reads it."""

from __future__ import annotations

import argparse
from typing import Any

from postwerk.cli.client.errors import Misused

STATES = ("queued", "deferred", "held", "sending")
MOST_IDS = 1000
_TEXTS = ("provider", "domain", "recipient", "code", "reason_is", "q", "older_than", "younger_than")


def add_filter(parser: argparse.ArgumentParser, *, everything: bool = True) -> None:
    """The options; `everything`: --all is needed to mean all (a command that changes something)."""
    parser.add_argument("positional_ids", nargs="*", metavar="ID", help="messages: <bulk id>.<number>")
    which = parser.add_argument_group("which messages (criteria are ANDed)")
    which.add_argument("--id", action="append", default=[], metavar="ID", help="a message; repeatable")
    which.add_argument(
        "--bulk", action="append", default=[], metavar="ID", help="of this bulk send; repeatable"
    )
    which.add_argument("--provider", metavar="DOMAIN", help="any domain of the mailbox provider (lane)")
    which.add_argument("--domain", metavar="DOMAIN", help="exactly this domain")
    which.add_argument("--recipient", metavar="ADDRESS", help="exactly this address")
    which.add_argument(
        "--state",
        action="append",
        default=[],
        choices=STATES,
        help="in this state; repeatable",
    )
    which.add_argument("--code", metavar="CODE", help="last reply: 451, 4xx, 5xx")
    which.add_argument("--reason-is", metavar="NAME", help="last outcome's reason: greylisted, ...")
    which.add_argument("--q", metavar="TEXT", help="part of the address")
    which.add_argument("--older-than", metavar="AGE", help="accepted longer ago than 90m, 2d, P1D")
    which.add_argument("--younger-than", metavar="AGE", help="accepted less long ago")
    if everything:
        which.add_argument("--all", action="store_true", help="every open message")


def filter_of(given: argparse.Namespace) -> dict[str, Any]:
    """The filter that was asked for; empty when nothing was. Raises Misused."""
    ids = list(dict.fromkeys([*given.positional_ids, *given.id]))
    if len(ids) > MOST_IDS:
        raise Misused(f"At most {MOST_IDS:,} message ids at a time.")
    found: dict[str, Any] = {}
    if ids:
        found["ids"] = ids
    for name in ("bulk", "state"):
        values = list(dict.fromkeys(getattr(given, name)))
        if values:
            found[name] = values[0] if len(values) == 1 else values
    for name in _TEXTS:
        value = getattr(given, name)
        if value is not None:
            found["reason" if name == "reason_is" else name] = _read(name, value)
    if getattr(given, "all", False):
        found["all"] = True
    return found


def meant(given: argparse.Namespace) -> dict[str, Any]:
    """The filter of a command that changes something. Raises Misused when nothing was said."""
    found = filter_of(given)
    if not found:
        raise Misused("Say which messages: ids, criteria such as --bulk or --provider, or --all.")
    if "all" in found and len(found) > 1:
        raise Misused("--all means every open message; leave it out or leave the criteria out.")
    return found


def _read(name: str, value: str) -> Any:
    """Numbers as numbers: an exact code, an age in seconds."""
    if name in ("code", "older_than", "younger_than") and value.isascii() and value.isdigit():
        return int(value)
    return value
