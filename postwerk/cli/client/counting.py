"""Messages by state, counted and put into words."""

from __future__ import annotations

from collections.abc import Mapping

from postwerk.cli.client.terminal import safe

OPEN = ("queued", "sending", "deferred", "held")
GOOD = ("delivered", "suppressed")
BAD = ("bounced", "expired", "failed", "unknown")
ENDED = ("completed", "cancelled", "failed")
"""States of a bulk send that never change again."""

Counts = Mapping[str, int]


def finished(counts: Counts) -> int:
    """Messages that have reached their end."""
    return sum(number for state, number in counts.items() if state not in OPEN)


def failures(counts: Counts) -> int:
    """Messages that ended, and not as wished."""
    return sum(counts.get(state, 0) for state in BAD)


def in_words(counts: Counts) -> str:
    """ "12 deferred, 1,000 delivered"; states without a message are left out."""
    return ", ".join(f"{number:,} {safe(state)}" for state, number in counts.items() if number)


def number_of(count: int, one: str, many: str = "") -> str:
    """ "1 message", "2,000 messages"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
