"""What the API counts of the calls it takes, by the template of the route and never by the path."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from postwerk.observe.metrics.registry import REGISTRY, SECONDS

REQUESTS = Counter(
    "postwerk_http_requests", "Calls of the API", ("method", "route", "status"), registry=REGISTRY
)
SECONDS_OF = Histogram(
    "postwerk_http_request_seconds",
    "From the head of a call to the end of its answer",
    ("method", "route"),
    buckets=SECONDS,
    registry=REGISTRY,
)
NO_ROUTE = "none"
"""Of a call that has no route, or that the gate turned away."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def answered(method: str, route: str, status: int, seconds: float) -> None:
    method = method if method in _METHODS else "other"
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS_OF.labels(method, route).observe(seconds)
