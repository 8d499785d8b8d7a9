"""Times and lengths of time, short enough for a table. In UTC, as the API speaks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.terminal import say

_FRESH_SECONDS = 3.0
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def parsed(text: str | None) -> datetime | None:
    """The moment an RFC 3339 text means."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def shown(text: str | None) -> str:
    """ "2026-11-22 03:24:05" in UTC; empty for none."""
    moment = parsed(text)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def seconds_from(now: datetime, text: str | None) -> float | None:
    """Seconds until a moment; negative when it has passed."""
    moment = parsed(text)
    return (moment - now).total_seconds() if moment else None


def tell_if_old(counted: Mapping[str, Any]) -> None:
    """A large queue is counted now and then: say when, if that is more than some seconds ago (`as_of`)."""
    age = seconds_from(datetime.now(UTC), counted.get("as_of"))
    if age is not None and -age > _FRESH_SECONDS:
        say(f"As of {length(-age)} ago.")


def length(seconds: float | None) -> str:
    """The two largest units: "45s", "3h12m", "2d4h".

    >>> length(93784)
    '1d2h'
    """
    if seconds is None:
        return ""
    left = max(int(seconds), 0)
    for index, (unit, size) in enumerate(_UNITS):
        if left >= size:
            more = _UNITS[index + 1 : index + 2]
            rest = [f"{left % size // size_}{name}" for name, size_ in more if left % size // size_]
            return f"{left // size}{unit}" + "".join(rest)
    return "0s"


def since(now: datetime, text: str | None) -> str:
    """How long ago, as `length`."""
    left = seconds_from(now, text)
    return "" if left is None else length(-left)


def until(now: datetime, text: str | None) -> str:
    """How long to go, as `length`."""
    return length(seconds_from(now, text))
