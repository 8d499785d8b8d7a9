"""Numbers, times and sizes as people read them. All pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

NOTHING = "–"
_STEPS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """12,345; one digit after the point below ten where there is one."""
    if value is None:
        return NOTHING
    if isinstance(value, int) or value >= 10 or value == int(value):
        return f"{round(value):,}"
    return f"{value:.1f}"


def percent(share: float | None) -> str:
    """Of 1; small shares with a digit after the point, none that is there as 0."""
    if share is None:
        return NOTHING
    if 0 < share < 0.0005:
        return "<0.1 %"
    digits = 0 if share == 0 or share >= 0.0995 else 1
    return f"{100 * share:.{digits}f} %"


def span(length: timedelta | float | None) -> str:
    """4 s, 12 min, 3 h 20 min, 2 d 4 h. Takes seconds too."""
    if length is None:
        return NOTHING
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    left = max(0, int(seconds))
    for index, (size, unit) in enumerate(_STEPS):
        if left < size:
            continue
        whole, rest = divmod(left, size)
        smaller = _STEPS[index + 1] if index in (0, 1) else None
        if smaller and rest >= smaller[0] and whole < 10:
            return f"{whole} {unit} {rest // smaller[0]} {smaller[1]}"
        return f"{whole} {unit}"
    return "0 s"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long a moment is past."""
    return NOTHING if moment is None else span(now - moment)


def clock(moment: datetime | None, now: datetime) -> str:
    """In UTC: the time alone on the same day."""
    if moment is None:
        return NOTHING
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M}"


def size(octets: int | None) -> str:
    if octets is None:
        return NOTHING
    for limit, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if octets >= limit:
            return f"{octets / limit:.1f} {unit}"
    return f"{octets} B"


def counted(n: int, one: str, many: str = "") -> str:
    """1 message, 12,345 messages."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def without(words: str, opening: str) -> str:
    """Words without what stands beside them anyway: `held: wrong price` beside the badge `held`."""
    return words.removeprefix(f"{opening}: ") if words.startswith(f"{opening}: ") else words


def said(text: str | None, enhanced: str | None) -> str:
    """A server's words without the enhanced code that stands before them anyway."""
    words = text or ""
    return words.removeprefix(enhanced).lstrip() if enhanced else words


def json(value: Any) -> str:
    """A value as JSON; text like any other, so the template escapes it."""
    return orjson.dumps(value).decode()
