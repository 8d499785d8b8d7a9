"""Curves as shapes: points for SVG, made on the server. Pure; a page only places them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from api.page.words import clock, number
from postwerk.archive.annotations import Annotation
from postwerk.rules.curves import Span, Tallies, begin_of, curve

SPARK_WIDTH, SPARK_HEIGHT = 120, 28
WIDTH, HEIGHT = 1000, 200
SERIES = (
    ("delivered", ("delivered",)),
    ("deferred", ("deferred",)),
    ("bounced", ("bounced", "failed", "expired", "unknown")),
)
_NICE = (1, 2, 3, 5)
_WORDS = {
    "bulk.pause": "paused",
    "bulk.resume": "resumed",
    "bulk.cancel": "cancelled",
    "bulk.change": "changed",
    "lane.set": "lane told",
    "relay.set": "relay told",
    "lane.cooling": "lane cools down",
}


class Line(NamedTuple):
    """A curve: `points` for a polyline, `area` the same closed at the bottom, `last` its newest value."""

    name: str
    points: str
    area: str
    last: str


class Drawn(NamedTuple):
    """A annotation at its place."""

    x: float
    at: datetime
    words: str
    kind: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart's shapes in a field of WIDTH x HEIGHT, and what stands beside them."""

    span: Span
    lines: Sequence[Line]
    top: str
    """What the upper edge means, a second."""
    begin: datetime
    middle: datetime
    end: datetime
    annotations: Sequence[Drawn]
    columns: Sequence[tuple[float, float, str]]
    """Fields to point at: x, width, and what happened there."""
    is_empty: bool


def sparkline(values: Sequence[float]) -> str:
    """Points for a polyline; nothing for less than two values."""
    if len(values) < 2:
        return ""
    top = max(values) or 1
    wide = SPARK_WIDTH / (len(values) - 1)
    high = SPARK_HEIGHT - 3
    return " ".join(f"{i * wide:.1f},{1.5 + high * (1 - value / top):.1f}" for i, value in enumerate(values))


def chart(tallies: Tallies, annotations: Sequence[Annotation], span: Span, now: datetime) -> Chart:
    """Messages a second over a span, with what explains them."""
    seconds = span.step.total_seconds()
    rates = {name: [n / seconds for n in curve(tallies, kinds, span, now)] for name, kinds in SERIES}
    top = _nice(max((max(values) for values in rates.values()), default=0))
    begin = begin_of(span, now)
    return Chart(
        span=span,
        lines=[_line(name, values, top) for name, values in rates.items()],
        top=number(top),
        begin=begin,
        middle=begin + span.length / 2,
        end=begin + span.length,
        annotations=[_drawn(annotation, begin, span) for annotation in annotations if annotation.at >= begin],
        columns=_columns(rates, begin, span, now),
        is_empty=not any(any(values) for values in rates.values()),
    )


def _line(name: str, values: Sequence[float], top: float) -> Line:
    wide = WIDTH / len(values)
    places = [f"{(i + 0.5) * wide:.1f},{HEIGHT * (1 - value / top):.1f}" for i, value in enumerate(values)]
    area = " ".join([f"{0.5 * wide:.1f},{HEIGHT}", *places, f"{WIDTH - 0.5 * wide:.1f},{HEIGHT}"])
    return Line(name, " ".join(places), area, number(round(values[-1], 1)))


def _columns(
    rates: Mapping[str, Sequence[float]], begin: datetime, span: Span, now: datetime
) -> list[tuple[float, float, str]]:
    wide = WIDTH / span.steps
    found = []
    for index in range(span.steps):
        said = ", ".join(f"{number(round(values[index], 1))} {name}" for name, values in rates.items())
        at = clock(begin + index * span.step, now)
        found.append((round(index * wide, 2), round(wide, 2), f"{at} UTC: {said} a second"))
    return found


def _drawn(annotation: Annotation, begin: datetime, span: Span) -> Drawn:
    share = (annotation.at - begin) / span.length
    what = _WORDS.get(annotation.what, annotation.what)
    if annotation.what == "bulk.change" and annotation.changed:
        what = f"{', '.join(name.replace('_', ' ') for name in annotation.changed)} changed"
    who = f" by {annotation.by}" if annotation.by else ""
    why = f": {annotation.reason}" if annotation.reason else ""
    return Drawn(
        round(WIDTH * share, 1),
        annotation.at,
        f"{what} {annotation.target}{who}{why}",
        annotation.what.replace(".", "-"),
    )


def _nice(value: float) -> float:
    """The next 1, 2, 3 or 5 with zeros; 1 at least."""
    top = 1.0
    while True:
        for step in _NICE:
            if value <= top * step:
                return top * step
        top *= 10
