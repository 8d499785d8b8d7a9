"""The permits of one run over a batch: which rates are in force, and when its next message may go."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime

from activities.clock import ActivityClock
from activities.lane_desk import LaneDesk
from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.pace import Block
from postwerk.rules.pace import SECOND, Limit, narrowest

LAPSED = 2 * SECOND
"""A permit that could not be used for so long counts no more: messages must not come in a heap later."""
WORTH_LEASING = 500
NAP_SECONDS = 0.5
"""So often somebody who waits for a permit looks whether anything has changed."""
FREE_SECONDS = 0.2
"""Without a limit in force it is asked so often whether there is one now."""


class Permits:
    """Without a limit in force every `take` is answered at once, and nothing is asked of the archive."""

    def __init__(
        self,
        desk: LaneDesk,
        lane: str,
        bulk_id: str,
        bulk_rate: str | None,
        clock: ActivityClock,
        may_go_on: Callable[[], Awaitable[bool]],
        *,
        urgent: bool = False,
    ) -> None:
        """`may_go_on` is asked now and then while a permit is waited for; it may change the rate.

        Who is `urgent` takes the next permit that is not given out yet, and never a place in the queue.
        """
        self._urgent = urgent
        self._desk = desk
        self._lane = lane
        self._bulk_id = bulk_id
        self.bulk_rate = bulk_rate
        self._clock = clock
        self._may_go_on = may_go_on
        self._slots: deque[int] = deque()
        self._limit: Limit | None = None
        self._block = Block((), 0)
        self._leased_for = bulk_rate
        self._leasing = asyncio.Lock()
        self._free_until = 0.0
        self.back_at: datetime | None = None
        """When to come back: no permit is free soon, or the lane cools down."""
        self.reason = ""

    async def lane_rests(self) -> bool:
        """Whether no message may go at all, whatever permits there are."""
        await self._desk.look(self._lane, self._clock.now())
        return self._cools()

    async def look(self, wanted: int) -> bool:
        """Whether a message may go now or within seconds. `wanted`: how many there are."""
        if await self.lane_rests():
            return False
        async with self._leasing:
            await self._fill(wanted)
            return bool(self._slots) or self._limit is None

    def free(self) -> bool:
        """Whether a message may go without asking: no limit was in force a moment ago, and nothing rests."""
        return self._free_until > time.monotonic() and not self._desk.rests(self._lane, self._clock.now())

    async def take(self, wanted: int) -> bool:
        """Wait until one more message may go; False when that is not soon, or none may go any more."""
        while not await self.lane_rests():
            async with self._leasing:
                await self._fill(wanted)
                if not self._slots:
                    return self._limit is None
                slot, rate = self._slots.popleft(), self._leased_for
            if not await self._wait_until(slot, rate):
                return False
            if rate == self.bulk_rate:
                return not self._cools()
        return False

    async def _wait_until(self, slot: int, rate: str | None) -> bool:
        """False when there is no sense in waiting any longer. Back at once when the rate has changed."""
        while (wait := slot - self._now()) > 0 and rate == self.bulk_rate:
            await asyncio.sleep(min(wait / SECOND, NAP_SECONDS))
            if not await self._may_go_on():
                return False
        return True

    def change_rate(self, bulk_rate: str | None) -> None:
        """The bulk send's own rate from now on: permits of the old one count no more."""
        self.bulk_rate = bulk_rate
        self._free_until = 0.0

    def ready(self) -> bool:
        """Whether another message may go right now."""
        return self._limit is None or (bool(self._slots) and self._slots[0] <= self._now())

    async def give_back(self) -> None:
        """Permits that nobody needs any more."""
        unused, self._slots = len(self._slots), deque()
        if unused and self._limit is not None:
            await self._desk.give_back(self._limit, self._block, unused)

    async def _fill(self, wanted: int) -> None:
        """Lease a block unless one is at hand. Neither slots nor a limit afterwards: none is needed."""
        self._drop_lapsed()
        if self._leased_for != self.bulk_rate:
            await self.give_back()
        if not self._slots:
            await self._lease(wanted)

    async def _lease(self, wanted: int) -> None:
        now = self._clock.now()
        self._leased_for = self.bulk_rate
        limits = self._desk.limits(self._lane, self._bulk_id, self.bulk_rate, now)
        self._limit = narrowest(limits) if limits else None
        if self._limit is None:
            self._free_until = time.monotonic() + FREE_SECONDS
            return
        self._block = await self._desk.lease(limits, now, min(wanted, WORTH_LEASING), urgent=self._urgent)
        self._slots.extend(self._block.slots)
        if not self._slots:
            self.back_at = from_microseconds(self._block.back_at)
            self.reason = f"paced: {self._limit.why}"

    def _drop_lapsed(self) -> None:
        while self._slots and self._slots[0] < self._now() - LAPSED:
            self._slots.popleft()

    def _cools(self) -> bool:
        now = self._clock.now()
        state = self._desk.state(self._lane)
        if state.cools(now):
            self.back_at, self.reason = state.cool_until, f"lane cools down: {state.reason}"
        return self._desk.rests(self._lane, now)

    def _now(self) -> int:
        return to_microseconds(self._clock.now())
