"""How fast a bulk send goes: from the counters of earlier answers, remembered in this process."""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import NamedTuple

WINDOW = 10.0
"""Seconds that the rate looks back."""
LEAST = 0.5
"""Seconds between two readings that say anything."""
_MOST_SENDS = 1000
_STALE = 60.0


class Progress(NamedTuple):
    """Messages a second and the expected end; None when nobody can know."""

    rate: float | None
    eta: datetime | None


class RateMemory:
    """Readings (time, finished) of the sends that were asked for lately."""

    def __init__(self) -> None:
        self._readings: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()

    def progress(self, bulk_id: str, finished: int, left: int, now: datetime) -> Progress:
        """Remember this reading and compare it with those before."""
        rate = self._rate(bulk_id, finished, now.timestamp())
        if not rate:
            return Progress(rate, None)
        seconds = min(left / rate, 10 * 365 * 86400)
        return Progress(round(rate, 2), now + timedelta(seconds=round(seconds)))

    def _rate(self, bulk_id: str, finished: int, now: float) -> float | None:
        readings = self._readings.setdefault(bulk_id, deque())
        self._readings.move_to_end(bulk_id)
        while len(self._readings) > _MOST_SENDS:
            self._readings.popitem(last=False)
        while len(readings) > 1 and readings[1][0] <= now - WINDOW:
            readings.popleft()
        if readings and readings[0][0] < now - _STALE:
            readings.popleft()
        if not readings or now - readings[-1][0] >= LEAST:
            readings.append((now, finished))
        since, then = readings[0]
        return max(0.0, (finished - then) / (now - since)) if now - since >= LEAST else None
