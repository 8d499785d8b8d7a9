"""When: the options --at, --expires and --window, and what they say to the API."""

from __future__ import annotations

import argparse
import re
from typing import Any

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.schedules import none_or

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?P<days>[a-z,-]+) +(?P<start>[0-9:]+)-(?P<end>[0-9:]+) +(?P<time_zone>\S+)", re.ASCII)
_HELP = 'write it as "mon-fri 09:00-18:00 Europe/Berlin"'


def add_times(parser: argparse._ActionsContainer, *, none: str) -> None:
    """`none`: what is said of taking them back."""
    parser.add_argument("--at", metavar="MOMENT", help=f"when it begins (RFC 3339 with a zone){none}")
    parser.add_argument("--expires", metavar="MOMENT", help="what is not delivered by then expires")
    parser.add_argument("--window", metavar="WINDOW", help='"mon-fri 09:00-18:00 Europe/Berlin": only then')


def times_of(given: argparse.Namespace) -> dict[str, Any]:
    """The fields they mean; "none" is null. Raises Misused."""
    found: dict[str, Any] = {}
    for name, option in (("send_at", "at"), ("expires_at", "expires"), ("window", "window")):
        if (said := getattr(given, option, None)) is not None:
            found[name] = none_or(said)
    if found.get("window"):
        found["window"] = window_of(found["window"])
    return found


def window_of(text: str) -> dict[str, Any]:
    """The field `window`. Raises Misused.

    >>> window_of("mon,sat-sun 22:00-06:00 Europe/Berlin")["days"]
    ['mon', 'sat', 'sun']
    """
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise Misused(f"--window: {_HELP}.")
    return {**found.groupdict(), "days": [day for part in found["days"].split(",") for day in _days(part)]}


def _days(part: str) -> list[str]:
    first, dash, last = part.partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise Misused(f"--window: {part!r} is no day; {_HELP}.")
    start = _DAYS.index(first)
    many = (_DAYS.index(last) - start) % 7 + 1 if dash else 1
    return [_DAYS[(start + n) % 7] for n in range(many)]
