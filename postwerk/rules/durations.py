"""Durations as people write them: seconds, "90m", "1d12h", or ISO 8601 "P5D"."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from postwerk.errors import InvalidRequest

_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_SHORT = re.compile(
    rf"(?:(?P<days>{_NUMBER})d)?(?:(?P<hours>{_NUMBER})h)?(?:(?P<minutes>{_NUMBER})m)?(?:(?P<seconds>{_NUMBER})s)?",
    re.ASCII | re.IGNORECASE,
)
_ISO = re.compile(
    rf"P(?:(?P<weeks>{_NUMBER})W)?(?:(?P<days>{_NUMBER})D)?"
    rf"(?:T(?:(?P<hours>{_NUMBER})H)?(?:(?P<minutes>{_NUMBER})M)?(?:(?P<seconds>{_NUMBER})S)?)?",
    re.ASCII | re.IGNORECASE,
)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_HELP = 'write seconds, "36h", "1d12h" or ISO 8601 such as "P5D"'


def parse_duration(value: object, *, pointer: str = "#") -> timedelta:
    """The length of time meant by a number of seconds or a text. Raises InvalidRequest.

    >>> parse_duration("36h") == parse_duration("P1DT12H") == parse_duration(129600)
    True
    """
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds <= 1e9:
        raise InvalidRequest(
            f"This is not a length of time; {_HELP}.", pointer=pointer, code="invalid_duration"
        )
    return timedelta(seconds=seconds)


def bounded_duration(value: object, least: timedelta, most: timedelta, *, pointer: str) -> timedelta:
    """`parse_duration` within limits. Raises InvalidRequest."""
    duration = parse_duration(value, pointer=pointer)
    if not least <= duration <= most:
        raise InvalidRequest(
            f"This must lie between {_words(least)} and {_words(most)}.", pointer=pointer, code="out_of_range"
        )
    return duration


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e15 else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _PLAIN.fullmatch(text):
        return float(text)
    found = _SHORT.fullmatch(text) or _ISO.fullmatch(text)
    return _sum(found.groupdict()) if found else None


def _sum(parts: dict[str, str | None]) -> float | None:
    """None when no part is given: "", "P" and "PT" say nothing."""
    given = {unit: float(number) for unit, number in parts.items() if number is not None}
    return timedelta(**given).total_seconds() if given else None


def _words(duration: timedelta) -> str:
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(duration.total_seconds(), size)
        if count and not rest:
            return f"{count:.0f} {unit}{'s' if count > 1 else ''}"
    return f"{duration.total_seconds()} seconds"
