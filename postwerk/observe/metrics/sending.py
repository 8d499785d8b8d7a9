"""What a worker counts of attempts and connections."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from prometheus_client import Counter, Gauge

from postwerk.observe.metrics.registry import LONG_SECONDS, REGISTRY, SECONDS
from postwerk.observe.metrics.tally import Cell, CounterTally, HistogramTally

ATTEMPTS = CounterTally(
    "postwerk_attempts",
    "Attempts, each a transaction for one message, by what they came to and why",
    ("provider", "outcome", "reason"),
)
DELIVERED = CounterTally("postwerk_delivered", "Messages that the next server has taken", ("provider",))
TRANSIENT = CounterTally("postwerk_transient_failures", "Attempts that are tried again later", ("provider",))
PERMANENT = CounterTally("postwerk_permanent_failures", "Messages that were refused for good", ("provider",))
AMBIGUOUS = CounterTally(
    "postwerk_ambiguous", "Attempts of which nobody read the end (RFC 1047)", ("provider",)
)
ATTEMPT_SECONDS = HistogramTally(
    "postwerk_attempt_seconds", "From MAIL to the last reply", "provider", SECONDS
)
TIME_TO_DELIVERY = HistogramTally(
    "postwerk_time_to_delivery_seconds",
    "From the acceptance of a message, or the beginning of its send, to its delivery",
    "provider",
    LONG_SECONDS,
)
CONNECTIONS = Gauge(
    "postwerk_connections", "Open SMTP connections of this process", ("relay", "provider"), registry=REGISTRY
)
CONNECTION_FAILURES = Counter(
    "postwerk_connection_failures",
    "SMTP sessions that did not come about, by the stage that failed",
    ("relay", "stage"),
    registry=REGISTRY,
)
COOL_DOWNS = Counter(
    "postwerk_lane_cool_downs", "Rests of a lane that began here", ("provider", "reason"), registry=REGISTRY
)
IN_HAND = Gauge(
    "postwerk_batches_in_hand", "Batches and single messages that this process works on", registry=REGISTRY
)
PAUSES = Counter(
    "postwerk_bulk_sends_paused", "Bulk sends that this process paused by itself", registry=REGISTRY
)


class Delay(StrEnum):
    """Why a batch is sent away until later, without an attempt."""

    RATE = "rate"
    SUSPENSION = "suspension"
    WINDOW = "window"
    COOL_DOWN = "cool_down"
    RELAY = "relay"
    """It gives no session."""
    CONNECTIONS = "connections"
    """All are busy."""


_WHY = {
    Delay.RATE: "a rate limit",
    Delay.SUSPENSION: "a suspension",
    Delay.WINDOW: "the sending window",
    Delay.COOL_DOWN: "a cool-down of its lane",
    Delay.RELAY: "a relay that gives no session",
    Delay.CONNECTIONS: "connections that are all busy",
}
DELAYED = {
    delay: Counter(
        f"postwerk_delayed_due_to_{delay}",
        f"Batches sent away until later by {why}; nobody loses an attempt",
        ("provider",),
        registry=REGISTRY,
    )
    for delay, why in _WHY.items()
}

_OF_OUTCOME = {
    "delivered": DELIVERED,
    "deferred": TRANSIENT,
    "bounced": PERMANENT,
    "ambiguous": AMBIGUOUS,
    "unknown": AMBIGUOUS,
}
_bound: dict[tuple[str, str, str], tuple[Cell, ...]] = {}


def attempt_recorded(provider: str, outcome: str, reason: str) -> None:
    """An attempt's outcome is committed. Of this and the two below only the event loop's thread may tell."""
    for cell in _bound.get((provider, outcome, reason)) or _bind(provider, outcome, reason):
        cell[0] += 1


def _bind(provider: str, outcome: str, reason: str) -> tuple[Cell, ...]:
    cells = [ATTEMPTS.cell(provider, outcome, reason)]
    if (of_outcome := _OF_OUTCOME.get(outcome)) is not None:
        cells.append(of_outcome.cell(provider))
    _bound[provider, outcome, reason] = tuple(cells)
    return _bound[provider, outcome, reason]


def attempt_took(provider: str, seconds: float) -> None:
    ATTEMPT_SECONDS.observe(provider, seconds)


def delivered_after(provider: str, seconds: float) -> None:
    TIME_TO_DELIVERY.observe(provider, seconds)


def batch_delayed(provider: str, delay: Delay) -> None:
    DELAYED[delay].labels(provider).inc()


def session_failed(relay: str, stage: str) -> None:
    CONNECTION_FAILURES.labels(relay, stage).inc()


def lane_cools(provider: str, reason: str) -> None:
    COOL_DOWNS.labels(provider, reason).inc()


def connections_open(relay: str, by_provider: Mapping[str, int]) -> None:
    """Those open now; a provider that is not named has none any more."""
    for known in {labels[1] for labels in _labels_of(CONNECTIONS) if labels[0] == relay} - by_provider.keys():
        CONNECTIONS.labels(relay, known).set(0)
    for provider, number in by_provider.items():
        CONNECTIONS.labels(relay, provider).set(number)


def _labels_of(gauge: Gauge) -> set[tuple[str, str]]:
    return {
        (sample.labels["relay"], sample.labels["provider"])
        for metric in gauge.collect()
        for sample in metric.samples
    }
