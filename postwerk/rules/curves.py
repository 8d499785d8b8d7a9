"""Counts in time made into curves: so many equal steps, each with how often something happened in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Tallies = Mapping[datetime, Counter[str]]
"""By the beginning of their ten seconds: how often each kind happened."""
TALLIED = timedelta(seconds=10)
"""What one tally covers."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time that is shown: `length` back from now, in equal steps."""

    name: str
    length: timedelta
    step: timedelta

    @property
    def steps(self) -> int:
        return self.length // self.step


SPANS = (
    Span("15m", timedelta(minutes=15), timedelta(seconds=10)),
    Span("1h", timedelta(hours=1), timedelta(seconds=40)),
    Span("24h", timedelta(hours=24), timedelta(minutes=5)),
)


def begin_of(span: Span, now: datetime) -> datetime:
    """Where the first step begins. Steps stay where they are as time goes on; only whole ones count."""
    return _floor(now, span.step) - span.length


def curve(tallies: Tallies, kinds: Sequence[str], span: Span, now: datetime) -> list[int]:
    """How often one of these kinds happened in each step, the oldest first."""
    begin = begin_of(span, now)
    found = [0] * span.steps
    for at, counts in tallies.items():
        index = (at - begin) // span.step
        if 0 <= index < len(found):
            found[index] += sum(counts[kind] for kind in kinds)
    return found


def total(
    tallies: Tallies,
    kinds: Iterable[str],
    since: datetime,
    until: datetime | None = None,
) -> int:
    """How often since then; tallies that begin before do not count."""
    wanted = list(kinds)
    return sum(
        counts[kind]
        for at, counts in tallies.items()
        if at >= since and (until is None or at < until)
        for kind in wanted
    )


def last_minute(now: datetime) -> tuple[datetime, datetime]:
    """The latest minute of whole tallies: neither the one under way, nor the one before it."""
    end = _floor(now, TALLIED) - TALLIED
    return end - timedelta(minutes=1), end


def _floor(moment: datetime, step: timedelta) -> datetime:
    zero = datetime(1970, 1, 1, tzinfo=UTC)
    return zero + (moment - zero) // step * step
