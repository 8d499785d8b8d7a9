"""What a worker counts of webhooks. Which one it is, its own log says: ids are no labels."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from postwerk.observe.metrics.registry import REGISTRY, SECONDS

REQUESTS = Counter(
    "postwerk_webhook_requests",
    "Requests to receivers of webhooks, by what came of them",
    ("outcome",),
    registry=REGISTRY,
)
EVENTS = Counter("postwerk_webhook_events", "Events that receivers of webhooks have taken", registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "postwerk_webhook_request_seconds",
    "From the first octet of a request to the answer",
    buckets=SECONDS,
    registry=REGISTRY,
)


def posted(outcome: str, events: int, milliseconds: int) -> None:
    """A request was made; `events` of it were taken."""
    REQUESTS.labels(outcome).inc()
    EVENTS.inc(events)
    REQUEST_SECONDS.observe(milliseconds / 1000)
