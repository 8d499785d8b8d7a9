"""Quotas: so many messages in any hour or day, however they lie in the calendar. Times are microseconds.

Use is kept in spans of a 24th of the period. A span counts until all of it is older than the period, so that
no period of any length ever holds more than the quota; what is given back comes a 24th late at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from postwerk.errors import InvalidRequest
from postwerk.rules.pace import SECOND, Rate

SPANS = 24


class Use(NamedTuple):
    """What was accepted in a span."""

    starts_at: int
    n: int


@dataclass(frozen=True, slots=True)
class Quota:
    """`count` messages within `period` at most."""

    rate: Rate

    @classmethod
    def parse(cls, written: str, *, pointer: str = "#") -> Self:
        """Read "10000/d", "500/h". Raises InvalidRequest."""
        try:
            rate = Rate.parse(written, pointer=pointer)
        except InvalidRequest as error:
            raise _no_quota(pointer) from error
        if rate.burst != 1 or rate.period < 60 * SECOND:
            raise _no_quota(pointer)
        return cls(rate)

    def __str__(self) -> str:
        return str(self.rate)

    @property
    def span(self) -> int:
        return self.rate.period // SPANS

    def span_of(self, now: int) -> int:
        """Where the span of this moment begins."""
        return now - now % self.span

    def counts_from(self, now: int) -> int:
        """Spans that begin later than this still count."""
        return now - self.rate.period - self.span

    def left(self, uses: Sequence[Use], now: int) -> int:
        """How many messages may still be accepted now."""
        return max(0, self.rate.count - sum(use.n for use in self._counting(uses, now)))

    def room_at(self, uses: Sequence[Use], now: int, wanted: int) -> int:
        """From when on `wanted` more have room; `now` when they have it (more than the quota never have)."""
        over = wanted - self.left(uses, now)
        at = now
        for use in sorted(self._counting(uses, now)):
            if over <= 0:
                break
            over -= use.n
            at = use.starts_at + self.span + self.rate.period
        return at

    def fits_ever(self, wanted: int) -> bool:
        return wanted <= self.rate.count

    def _counting(self, uses: Sequence[Use], now: int) -> list[Use]:
        return [use for use in uses if use.starts_at > self.counts_from(now)]


def _no_quota(pointer: str) -> InvalidRequest:
    return InvalidRequest(
        'This is not a quota; write it like "10000/d", "500/h" or "60/min".',
        pointer=pointer,
        code="invalid_quota",
    )
