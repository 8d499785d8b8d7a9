"""How long a server asks us to wait, where its reply says so: "try again in 5 minutes"."""

from __future__ import annotations

import re
from datetime import timedelta

LEAST = timedelta(seconds=1)
MOST = timedelta(hours=24)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNIT = r"(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|[smhd])\b(?![.-]\w)"
_LENGTH = re.compile(rf"(\d{{1,7}}|\ban?\b|\bone\b)[ -]?({_UNIT})", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,3}):(\d\d):(\d\d)", re.ASCII)
_LENGTHS = rf"(?:{_LENGTH.pattern}[ ,]{{0,2}}(?:and )?){{1,3}}"
_ASKING = r"try|retry|again|wait|back|resend|reconnect|delay(?:ed)?|defer(?:red)?|gr[ae]y-?list(?:ed|ing)?"
# What is asked for stands close behind the asking, with no other number between: "100 mails in 1 hour; try
# again later" asks for nothing. Greylisting servers say "Greylisted for 300 seconds".
_ASKED = re.compile(
    rf"\b(?:{_ASKING})\b[^\d.]{{0,40}}?(?:(?P<clock>{_CLOCK.pattern})|(?P<lengths>{_LENGTHS}))"
    r"(?! ?ago\b)",
    re.ASCII | re.IGNORECASE,
)


def retry_hint(text: str) -> timedelta | None:
    """The wait a reply's text asks for; None without one, and when it is below 1 second or above 24 hours.

    Only for 4yz replies. Nothing is added: who uses it adds the margin.

    >>> retry_hint("450 4.2.0 Greylisted, try again in 5 minutes")
    datetime.timedelta(seconds=300)
    """
    asked = _ASKED.search(" ".join(text.split()))
    if asked is None:
        return None
    wait = timedelta(seconds=_of_clock(asked["clock"]) if asked["clock"] else _of_lengths(asked["lengths"]))
    return wait if LEAST <= wait <= MOST else None


def _of_clock(clock: str) -> int:
    """Seconds of "00:04:32"."""
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


def _of_lengths(lengths: str) -> int:
    """Seconds of "1 hour and 30 minutes" or "an hour"."""
    return sum(
        (int(count) if count.isdigit() else 1) * _SECONDS[unit[0].lower()]
        for count, unit in _LENGTH.findall(lengths)
    )
