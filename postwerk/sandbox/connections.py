"""When connections came, and how each was greeted. Kept in memory: a sandbox forgets them when it ends."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Connections:
    """Every connection since the start or the last `clear`: ten bytes each."""

    total: int = 0
    """All that ever came, those refused included; `clear` leaves it."""
    _times: array[float] = field(default_factory=lambda: array("d"))
    _codes: array[int] = field(default_factory=lambda: array("H"))

    def note(self, at: float, code: int) -> None:
        """One more at `at` (seconds since 1970), greeted with `code` (0: with silence)."""
        self.total += 1
        self._times.append(at)
        self._codes.append(code)

    def told(self, since: float) -> list[dict[str, Any]]:
        """Those that came at `since` or later, oldest first."""
        both = zip(self._times, self._codes, strict=True)
        return [{"at": at, "code": code} for at, code in both if at >= since]

    def clear(self) -> None:
        del self._times[:], self._codes[:]
