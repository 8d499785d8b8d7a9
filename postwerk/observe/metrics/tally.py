"""Counters for what happens thousands of times a second: plain numbers that one thread adds to.

Those of Prometheus's client take a lock each time: on a busy machine 8 us a message, where these cost 2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from postwerk.observe.metrics.registry import REGISTRY

Cell = list[int]
"""One number, that the thread of the event loop alone adds to: `cell[0] += 1`. Any thread may read it."""


def _written(bound: float) -> str:
    """As the client writes bounds."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


class CounterTally(Collector):
    """A counter with labels."""

    kind = "counter"

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self.name, self.labels = f"{name}_total", tuple(labels)
        self._about = about
        self._cells: dict[tuple[str, ...], Cell] = {}
        REGISTRY.register(self)

    def cell(self, *labels: str) -> Cell:
        return self._cells.setdefault(labels, [0])

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self.name, self._about, labels=self.labels)
        for labels, cell in list(self._cells.items()):
            family.add_metric(labels, cell[0])
        yield family


class HistogramTally(Collector):
    """A histogram with one label."""

    kind = "histogram"

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self.name, self.labels = name, (label,)
        self._about = about
        self._bounds = tuple(bounds)
        self._upper = [*(_written(bound) for bound in bounds), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        REGISTRY.register(self)

    def observe(self, label: str, value: float) -> None:
        counts = self._counts.get(label)
        if counts is None:
            self._sums[label] = 0.0
            counts = self._counts[label] = [0] * len(self._upper)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[label] += value

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self.name, self._about, labels=self.labels)
        for label, counts in list(self._counts.items()):
            family.add_metric([label], list(self._cumulative(counts)), self._sums[label])
        yield family

    def _cumulative(self, counts: Sequence[int]) -> Iterator[tuple[str, float]]:
        """Each bucket holds those of the smaller ones too."""
        so_far = 0
        for upper, count in zip(self._upper, counts, strict=True):
            so_far += count
            yield upper, so_far
