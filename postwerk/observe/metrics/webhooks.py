"""What a worker counts of requests to webhooks. Which webhook it was stands in the archive, in no label."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from postwerk.observe.metrics.registry import REGISTRY, SECONDS

REQUESTS = Counter(
    "postwerk_webhook_requests",
    "Requests to webhooks, by what came of them: delivered, failed (tried again) or given_up",
    ("outcome",),
    registry=REGISTRY,
)
EVENTS = Counter("postwerk_webhook_events", "Events that receivers have taken", registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "postwerk_webhook_request_seconds", "Until a receiver has answered", buckets=SECONDS, registry=REGISTRY
)


def answered(outcome: str, events: int, seconds: float) -> None:
    """A request has come to its end; `events`: that were in it."""
    REQUESTS.labels(outcome).inc()
    REQUEST_SECONDS.observe(seconds)
    if outcome == "delivered":
        EVENTS.inc(events)
