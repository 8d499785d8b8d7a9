"""What a child has heard of hold and release: two signals of one moment may come in either order."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from postwerk.contracts.orders import HoldSignal


class Heard:
    """The latest of them counts. Without a number (from a person, or of long ago) each is news."""

    def __init__(self) -> None:
        self._last = 0

    def is_news(self, signal: HoldSignal | None) -> bool:
        number = signal.number if signal else 0
        if 0 < number < self._last:
            return False
        self._last = max(self._last, number)
        return True
