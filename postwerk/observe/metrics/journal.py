"""What the journal's writer counts: a slow commit slows every connection of its process."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from postwerk.observe.metrics.registry import REGISTRY, SECONDS

COMMIT_SECONDS = Histogram(
    "postwerk_journal_commit_seconds",
    "A group commit of marks and outcomes, waits for a locked or lost archive included",
    buckets=SECONDS,
    registry=REGISTRY,
)
GROUP_SIZE = Histogram(
    "postwerk_journal_group_size",
    "Marks and outcomes that one commit wrote",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    registry=REGISTRY,
)
FAILURES = Counter(
    "postwerk_journal_failures",
    "Commits that the archive did not take and that are tried again",
    registry=REGISTRY,
)
WAITING = Gauge(
    "postwerk_journal_waiting", "Marks and outcomes that wait for an archive that is away", registry=REGISTRY
)


def committed(seconds: float, entries: int) -> None:
    COMMIT_SECONDS.observe(seconds)
    GROUP_SIZE.observe(entries)
    WAITING.set(0)


def failed(waiting: int) -> None:
    FAILURES.inc()
    WAITING.set(waiting)
