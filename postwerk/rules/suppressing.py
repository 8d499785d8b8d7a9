"""What a reason for suppressing an address reaches."""

from __future__ import annotations

from postwerk.contracts.states import SuppressionScope

UNSUBSCRIBE = "unsubscribe"
"""The reason of who unsubscribed."""


def scope_of(reason: str) -> SuppressionScope:
    """Who unsubscribed wants no bulk mail; where mail bounces or counts as spam, none at all is sent."""
    return SuppressionScope.BULK if reason == UNSUBSCRIBE else SuppressionScope.ALL
