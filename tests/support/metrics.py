"""Every metric that the code has, by what Prometheus calls it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, TypeVar

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from postwerk.observe.metrics import calls, journal, returned, sending, webhooks
from postwerk.observe.metrics.queue import EVERYTHING, QueueCollector
from postwerk.observe.metrics.registry import exposition
from postwerk.observe.metrics.tally import CounterTally, HistogramTally

T = TypeVar("T")
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Value by name and sorted labels."""
_ROOMS = (calls, journal, returned, sending, webhooks)
_SUFFIX = {"counter": "_total"}
_PARTS_OF_HISTOGRAM = ("_bucket", "_sum", "_count")


class Known(NamedTuple):
    """A metric as docs/metrics.md writes it down."""

    name: str
    kind: str
    labels: tuple[str, ...]


@lru_cache(maxsize=1)
def known_metrics() -> dict[str, Known]:
    found = [_of_wrapper(one) for one in _all_of(MetricWrapperBase)]
    for tally in (*_all_of(CounterTally), *_all_of(HistogramTally)):
        found.append(Known(tally.name, tally.kind, tally.labels))
    for metric in QueueCollector(EVERYTHING).collect():
        found.append(Known(metric.name, metric.type, tuple(metric.samples[0].labels)))
    return {one.name: one for one in found}


def series_names() -> set[str]:
    """Names that a query may ask for."""
    names: set[str] = set()
    for one in known_metrics().values():
        names |= {one.name + part for part in _PARTS_OF_HISTOGRAM} if one.kind == "histogram" else {one.name}
    return names


def asked_for(expression: str) -> set[str]:
    """The metrics of ours that a PromQL expression names."""
    return set(re.findall(r"\bpostwerk_\w+", expression))


def told(text: str) -> Series:
    """What a scrape says."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    """Zero for a series that is not told."""
    return told(text).get((name, tuple(sorted(labels.items()))), 0.0)


class Growth:
    """How much this process's counters have grown since it was made."""

    def __init__(self) -> None:
        self._before = told(exposition().decode())

    def of(self, name: str, **labels: str) -> float:
        """Of all series of that name with these labels together."""
        return _sum(told(exposition().decode()), name, labels) - _sum(self._before, name, labels)


def _sum(series: Series, name: str, labels: dict[str, str]) -> float:
    wanted = labels.items()
    return sum(number for (one, its), number in series.items() if one == name and wanted <= dict(its).items())


def _all_of(kind: type[T]) -> list[T]:
    found: list[T] = []
    for room in _ROOMS:
        for thing in vars(room).values():
            things = thing.values() if isinstance(thing, dict) else [thing]
            found += [one for one in things if isinstance(one, kind)]
    return list(dict.fromkeys(found))


def _of_wrapper(metric: MetricWrapperBase) -> Known:
    kind = metric._type
    return Known(metric._name + _SUFFIX.get(kind, ""), kind, tuple(metric._labelnames))
