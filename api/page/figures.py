"""The six numbers, each with its last quarter of an hour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.page.chart import sparkline
from api.page.figure_memory import Sample, sample_of
from api.page.words import number, percent, span
from postwerk.archive.queue_totals import QueueTotals
from postwerk.contracts.states import MessageState
from postwerk.rules.curves import SPANS, Tallies, curve, last_minute, total

QUARTER = timedelta(minutes=15)
FAILED = ("bounced", "failed", "expired", "unknown")
_SPARK = SPANS[0]
_STEPS = 6
"""Tallies that one point of a share covers: of ten seconds alone it jumps."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in large; `line`: points of its curve, `exact`: the number to be compared with the API's."""

    name: str
    value: str
    about: str
    line: str
    exact: int | None = None
    kind: str = ""


def figures(queue: QueueTotals, tallies: Tallies, samples: Sequence[Sample], now: datetime) -> list[Figure]:
    """Delivered, queued, deferred, bounced, complained, oldest."""
    past = [*samples, sample_of(queue, now)]
    return [
        _delivered(tallies, now),
        _queued(queue, past),
        _deferred(queue, past),
        _share("Bounced", "ended", tallies, now, ("bounced", "late_bounced"), 0.02, 0.05),
        _share("Complained", "delivered", tallies, now, ("complained",), 0.001, 0.003),
        _oldest(queue, past, now),
    ]


def _delivered(tallies: Tallies, now: datetime) -> Figure:
    since, until = last_minute(now)
    n = total(tallies, ["delivered"], since, until)
    about = f"{n / 60:.1f} a second" if n else "in the last whole minute"
    return Figure(
        "Delivered a minute", number(n), about, sparkline(curve(tallies, ["delivered"], _SPARK, now))
    )


def _queued(queue: QueueTotals, past: Sequence[Sample]) -> Figure:
    states = (MessageState.SENDING, MessageState.HELD)
    also = [f"{queue.states[state]:,} {state}" for state in states if queue.states[state]]
    about = ", ".join([f"{queue.states[MessageState.QUEUED]:,} not tried yet", *also])
    line = sparkline([one.total for one in past])
    return Figure("In the queue", number(queue.total), about, line, exact=queue.total)


def _deferred(queue: QueueTotals, past: Sequence[Sample]) -> Figure:
    n = queue.states[MessageState.DEFERRED]
    line = sparkline([one.deferred for one in past])
    return Figure("Deferred", number(n), "refused for now, tried again", line, exact=n)


def _share(
    name: str, about: str, tallies: Tallies, now: datetime, kinds: Sequence[str], warn: float, bad: float
) -> Figure:
    ended = ("delivered",) if kinds == ("complained",) else ("delivered", *FAILED)
    n, of = (total(tallies, some, now - QUARTER) for some in (kinds, ended))
    share = n / of if of else None
    kind = "" if share is None or share < warn else "warn" if share < bad else "bad"
    counts, all_of = (curve(tallies, some, _SPARK, now) for some in (kinds, ended))
    return Figure(
        name,
        percent(share),
        f"{n:,} of {of:,} {about} in 15 min",
        sparkline(_shares(counts, all_of)),
        kind=kind,
    )


def _shares(counts: Sequence[int], all_of: Sequence[int]) -> list[float]:
    found = []
    for index in range(len(counts)):
        window = slice(max(0, index - _STEPS + 1), index + 1)
        of = sum(all_of[window])
        found.append(min(1.0, sum(counts[window]) / of) if of else 0.0)
    return found


def _oldest(queue: QueueTotals, past: Sequence[Sample], now: datetime) -> Figure:
    age = now - queue.oldest_at if queue.oldest_at else None
    about = "since it was accepted" if age else "nothing waits"
    return Figure("Oldest in the queue", span(age), about, sparkline([one.oldest_seconds for one in past]))
