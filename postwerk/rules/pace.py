"""Rates as people write them, and the arithmetic that keeps them (GCRA). Times are microseconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from postwerk.errors import InvalidRequest

SECOND = 1_000_000
_UNITS = {
    "s": SECOND, "sec": SECOND, "second": SECOND,
    "m": 60 * SECOND, "min": 60 * SECOND, "minute": 60 * SECOND,
    "h": 3600 * SECOND, "hr": 3600 * SECOND, "hour": 3600 * SECOND,
    "d": 86400 * SECOND, "day": 86400 * SECOND,
}  # fmt: skip
_WRITTEN = re.compile(r"(\d[\d_]{0,11})\s*/\s*([a-z]+)(?:\s*,\s*(?:max_)?burst\s*=\s*(\d{1,6}))?", re.ASCII)
_SHORT = {SECOND: "s", 60 * SECOND: "min", 3600 * SECOND: "h", 86400 * SECOND: "d"}
HELP = 'write it like "100/s", "30/min,burst=5", "1000/h" or "10000/d"'


@dataclass(frozen=True, slots=True)
class Rate:
    """So many messages in so many microseconds; `burst` of them may go at once after a rest."""

    count: int
    period: int = SECOND
    burst: int = 1

    @classmethod
    def parse(cls, written: str, *, pointer: str = "#") -> Self:
        """Read "100/s", "30/min,burst=5", "1000/h", "10_000/d". Raises InvalidRequest."""
        match = _WRITTEN.fullmatch(written.strip().lower())
        period = _UNITS.get(match[2]) if match else None
        count = int(match[1].replace("_", "")) if match else 0
        burst = int(match[3] or 1) if match else 1
        if period is None or not 1 <= count <= period or burst < 1:
            raise InvalidRequest(f"This is not a rate; {HELP}.", pointer=pointer, code="invalid_rate")
        return cls(count, period, burst)

    @property
    def interval(self) -> int:
        """Microseconds between two messages."""
        return max(1, round(self.period / self.count))

    def __str__(self) -> str:
        written = f"{self.count}/{_SHORT[self.period]}"
        return written if self.burst == 1 else f"{written},burst={self.burst}"


class Limit(NamedTuple):
    """A rate in force. `scope` says whose: "relay:...", "lane:..." or "bulk:..."; `why` is for people."""

    scope: str
    interval: int
    burst: int
    why: str

    @classmethod
    def of(cls, scope: str, rate: Rate, why: str = "") -> Limit:
        return cls(scope, rate.interval, rate.burst, why or str(rate))


class Permits(NamedTuple):
    """When the next messages may go, and the limits' new theoretical arrival times.

    Without `slots` nothing is free soon: `free_at` says from when.
    """

    slots: tuple[int, ...]
    tats: tuple[int, ...]
    free_at: int


def narrowest(limits: Sequence[Limit]) -> Limit:
    return max(limits, key=lambda limit: limit.interval)


def reserve(
    limits: Sequence[Limit], tats: Sequence[int], now: int, *, wanted: int, ahead: int, earliest: int = 0
) -> Permits:
    """Up to `wanted` permits that fall due within the next `ahead` microseconds, under all limits at once.

    The narrowest limit spreads the permits over time. The wider ones book them as of now: a lane whose
    next permit is seconds away must not push the whole relay that far.
    """
    spreading = limits.index(narrowest(limits))
    standing = list(tats)
    slots: list[int] = []
    free_at = _next_slot(limits, standing, max(now, earliest))
    slot = free_at
    while len(slots) < wanted and slot < now + ahead:
        slots.append(slot)
        for index, limit in enumerate(limits):
            base = slot if index == spreading else now
            standing[index] = max(standing[index], base) + limit.interval
        slot = _next_slot(limits, standing, slot)
    return Permits(tuple(slots), tuple(standing), free_at)


def _next_slot(limits: Sequence[Limit], tats: Sequence[int], now: int) -> int:
    return max(
        now, *(tat - (limit.burst - 1) * limit.interval for limit, tat in zip(limits, tats, strict=True))
    )
