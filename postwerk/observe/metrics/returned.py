"""What is counted of mail that came back, by whichever process reads it: the API or `postwerk inbound`."""

from __future__ import annotations

from prometheus_client import Counter

from postwerk.observe.metrics.registry import REGISTRY

INBOUND = Counter(
    "postwerk_inbound",
    "Mails that came back and were worked off, by what they are and whether they changed anything",
    ("kind", "result"),
    registry=REGISTRY,
)
LATE_BOUNCES = Counter(
    "postwerk_late_bounces", "Messages that came back after a server had taken them", registry=REGISTRY
)
COMPLAINTS = Counter(
    "postwerk_complaints", "Recipients who called a mail of ours spam (RFC 5965)", registry=REGISTRY
)
_EFFECT = {("bounce", "done"): LATE_BOUNCES, ("complaint", "done"): COMPLAINTS}


def worked_off(kind: str, result: str) -> None:
    """A mail has come to its end, in this process."""
    INBOUND.labels(kind, result).inc()
    if (effect := _EFFECT.get((kind, result))) is not None:
        effect.inc()
