"""What a reason for suppressing an address reaches."""

from __future__ import annotations

from postwerk.contracts.states import Scope

UNSUBSCRIBE = "unsubscribe"
"""The reason of who unsubscribed."""


def scope_of(reason: str) -> Scope:
    """Who unsubscribed wants no bulk mail; where mail bounces or counts as spam, none at all is sent."""
    return Scope.BULK if reason == UNSUBSCRIBE else Scope.ALL
