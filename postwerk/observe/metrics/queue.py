"""What the API says of the queue as a whole: read from the archive, the same whichever process is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MESSAGES = ("queued", "sending", "deferred", "held")
SENDS = ("open", "scheduled", "queued", "running", "paused", "cancelling")


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Where the queue stands. `cooling` and `resting_relays` are by relay; ages in seconds."""

    messages: Mapping[str, int] = field(default_factory=dict)
    sends: Mapping[str, int] = field(default_factory=dict)
    oldest_queued: float = 0.0
    cooling: Mapping[tuple[str, str], int] = field(default_factory=dict)
    resting_relays: Mapping[str, bool] = field(default_factory=dict)
    suspensions: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a scrape tells. A figure that is not known is left out, so that no alert rests on an old one."""

    figures: QueueFigures | None = None
    """None while the archive does not answer."""
    workers: int | None = None
    """None while Temporal does not answer."""


EVERYTHING = Standing(QueueFigures(cooling={("default", "other"): 0}, resting_relays={"default": False}), 0)
"""Every metric there may be."""


class QueueCollector(Collector):
    """A standing, as Prometheus's client wants it."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        return _told(self._standing)


def _told(standing: Standing) -> Iterator[Metric]:
    figures, workers = standing.figures, standing.workers
    yield _one("postwerk_archive_up", "Whether the archive answers", figures is not None)
    yield _one("postwerk_temporal_up", "Whether Temporal answers", workers is not None)
    if workers is not None:
        yield _one("postwerk_workers", "Worker processes that asked for work of late", workers)
    if figures is not None:
        yield from _of_archive(figures)


def _of_archive(figures: QueueFigures) -> Iterator[Metric]:
    about = {
        "queued": "Messages that wait for their first attempt",
        "sending": "Messages that are being handed over",
        "deferred": "Messages that were refused for now and wait for their next attempt",
        "held": "Messages that an operator holds by themselves",
    }
    for state in MESSAGES:
        yield _one(f"postwerk_{state}", about[state], figures.messages.get(state, 0))
    yield _one(
        "postwerk_oldest_queued_seconds",
        "Age of the oldest message without an attempt in a send that is neither paused nor to begin later",
        figures.oldest_queued,
    )
    yield _labelled(
        "postwerk_bulk_sends",
        "Bulk sends and single messages that have not ended",
        ("state",),
        (((state,), figures.sends.get(state, 0)) for state in SENDS),
    )
    yield _labelled(
        "postwerk_lanes_cooling", "Lanes that rest now", ("relay", "provider"), figures.cooling.items()
    )
    yield _labelled(
        "postwerk_relay_resting",
        "Whether the relay as a whole rests: it gives no session, or an operator said so",
        ("relay",),
        (((relay,), rests) for relay, rests in figures.resting_relays.items()),
    )
    yield _one("postwerk_suspensions", "Suspensions in force", figures.suspensions)


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=float(value))


def _labelled(
    name: str, about: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, float(value))
    return family
