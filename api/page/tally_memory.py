"""The tallies of a day, as this process knows them: read once, then only what has come since."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from postwerk.archive.engine import Archive
from postwerk.archive.tallies import rates, rates_by_lane

DAY, BY_LANE = timedelta(hours=24), timedelta(hours=1)
_STILL_GROWING = timedelta(minutes=2)
"""Tallies younger than this are read again: who writes them may be late."""
_FRESH_SECONDS = 1.0


class TallyMemory:
    """Ten-second tallies: of all lanes for a day, of each lane for an hour."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.totals: dict[datetime, Counter[str]] = {}
        """By kind."""
        self._lanes: dict[datetime, dict[str, Counter[str]]] = {}
        self._read_until: datetime | None = None
        self._good_until = float("-inf")
        self._reading = asyncio.Lock()

    async def refresh(self, now: datetime) -> None:
        """Read what has come since. Raises what the archive raises."""
        async with self._reading:
            if time.monotonic() < self._good_until:
                return
            if self._read_until is None:
                await self._read_older(now)
            await self._read_since((self._read_until or now - BY_LANE) - _STILL_GROWING, now)
            self._forget_before(now)
            self._read_until = now
            self._good_until = time.monotonic() + _FRESH_SECONDS

    def of_lanes(self, since: datetime) -> Mapping[str, Counter[str]]:
        """By lane and kind, what was tallied since then; an hour back at most."""
        found: dict[str, Counter[str]] = {}
        for at, lanes in self._lanes.items():
            if at >= since:
                for lane, counts in lanes.items():
                    found.setdefault(lane, Counter()).update(counts)
        return found

    async def _read_older(self, now: datetime) -> None:
        async with self._archive.reading() as connection:
            for one in await rates(connection, now - DAY, now - BY_LANE):
                self.totals.setdefault(one.at, Counter())[one.kind] = one.n

    async def _read_since(self, since: datetime, now: datetime) -> None:
        async with self._archive.reading() as connection:
            found = await rates_by_lane(connection, since, now)
        fresh: dict[datetime, dict[str, Counter[str]]] = {}
        for one in found:
            fresh.setdefault(one.at, {}).setdefault(one.lane, Counter())[one.kind] = one.n
        for at, lanes in fresh.items():
            self._lanes[at] = lanes
            self.totals[at] = sum(lanes.values(), Counter())

    def _forget_before(self, now: datetime) -> None:
        for at in [at for at in self.totals if at < now - DAY]:
            del self.totals[at]
        for at in [at for at in self._lanes if at < now - BY_LANE]:
            del self._lanes[at]
