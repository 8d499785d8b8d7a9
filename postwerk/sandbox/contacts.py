"""Who was tried before: how often, and when first. It is what makes `defer2` and `greylist` remember."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Contacts:
    """Attempts for each recipient in memory; read back from the ledger when the sandbox starts again."""

    _attempts: dict[str, int] = field(default_factory=dict)
    _first_at: dict[str, float] = field(default_factory=dict)

    def attempt(self, recipient: str) -> int:
        """Count one more attempt for `recipient` and return its number."""
        number = self._attempts.get(recipient, 0) + 1
        self._attempts[recipient] = number
        return number

    def seconds_known(self, recipient: str, now: float) -> float:
        """How long ago `recipient` was first seen; 0 for the first time."""
        return now - self._first_at.setdefault(recipient, now)

    def restore(self, known: Iterable[tuple[str, int, float]]) -> None:
        """Remember (recipient, attempts, first seen) from an earlier run."""
        for recipient, attempts, first_at in known:
            self._attempts[recipient] = attempts
            self._first_at[recipient] = first_at

    def clear(self) -> None:
        self._attempts.clear()
        self._first_at.clear()
