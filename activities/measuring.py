"""What a worker counts of its attempts: of lanes only known providers are named, the rest is "other" (P7)."""

from __future__ import annotations

from datetime import datetime

from postwerk.contracts.orders import BatchOrder
from postwerk.contracts.smtp import Exchange
from postwerk.observe.metrics import sending
from postwerk.observe.metrics.sending import Delay
from postwerk.rules.providers import provider_label


def count_attempt(
    lane: str,
    outcome: str,
    reason: str,
    exchange: Exchange | None,
    accepted_at: datetime | None,
    now: datetime,
) -> None:
    """An outcome that is committed; `exchange` if there was a transaction."""
    provider = provider_label(lane)
    sending.attempt_recorded(provider, outcome, reason)
    if exchange is not None:
        sending.attempt_took(provider, exchange.milliseconds / 1000)
    if outcome == "delivered" and accepted_at is not None:
        sending.delivered_after(provider, max(0.0, (now - accepted_at).total_seconds()))


def count_delay(batch: BatchOrder, delay: Delay) -> None:
    """A batch is sent away until later."""
    sending.batch_delayed(provider_label(batch.lane), delay)
