"""Sentences about webhooks. No address of a receiver is in them: it may hold a secret."""

from __future__ import annotations

from postwerk.observe.log.logger import sentence


def webhook_failed(webhook_id: str, trouble: str, tries: int, seconds: float) -> None:
    sentence.warning(
        "webhook failed", webhook=webhook_id, trouble=trouble, tries=tries, again_in=round(seconds)
    )


def webhook_gone(webhook_id: str, trouble: str, tries: int) -> None:
    """Nobody tells its receiver anything until it is enabled again."""
    sentence.error("webhook is gone", webhook=webhook_id, trouble=trouble, tries=tries)
