"""Looked at once a minute: bulk sends that stand still, and events and tallies whose time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.schemas import WaitReason, WaitsFor
from api.waiting import waits_of_sends
from postwerk.archive import reads
from postwerk.archive.outbox_keeping import erase_events
from postwerk.archive.outbox_writing import Still, still_since, write_stalled
from postwerk.archive.tallies import erase_tallies
from postwerk.observe import log

EVERY = timedelta(minutes=1)
AT_ONCE = 1000
"""Rows of one transaction: the journals of the workers wait no longer than for these."""
_STALLS = (
    WaitReason.NOT_STARTED,
    WaitReason.NO_WORKER,
    WaitReason.TEMPORAL_AWAY,
    WaitReason.UNKNOWN_RELAY,
    WaitReason.IN_TURN,
)
"""Nothing of this ends by itself at a known time, as a pace, a rest, a window or a retry does."""


async def keep_events_forever(parts: Parts, every: timedelta = EVERY) -> None:
    """Look again and again; no error ends it, only being cancelled does. Any number may run at once."""
    keeper = EventKeeper(parts)
    while True:
        await keeper.look()
        await asyncio.sleep(every.total_seconds())


class EventKeeper:
    """Tells of bulk sends that stand still, and forgets what is old."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def look(self) -> None:
        for step in (self.tell_of_stalls, self.forget_events, self.forget_tallies):
            try:
                await step()
            except Exception as error:  # noqa: BLE001  the next look is soon
                log.not_reconciled(step.__name__, error)

    async def tell_of_stalls(self) -> None:
        """Once for each: nothing moved for so long, and nothing is known that it waits for."""
        before = self._parts.now() - self._parts.config.stalled_after
        async with self._parts.archive.reading() as connection:
            still = await still_since(connection, before)
            sends = await reads.bulk_sends_named(connection, {one.bulk_id for one in still})
        waits = await waits_of_sends(self._parts, [sends[one.bulk_id] for one in still])
        for one, wait in zip(still, waits, strict=True):
            if wait is None or wait.reason in _STALLS:
                await self._tell(one, wait)

    async def _tell(self, still: Still, wait: WaitsFor | None) -> None:
        why, words = (wait.reason.value, wait.detail) if wait else ("", "nobody knows why")
        async with self._parts.archive.writing() as connection:
            told = await write_stalled(connection, still, why, words, self._parts.now())
        if told:
            log.stands_still(still.bulk_id, words)

    async def forget_events(self) -> None:
        kept = self._parts.config.events_kept

        async def erase(connection: AsyncConnection) -> int:
            return await erase_events(connection, self._parts.now(), kept, AT_ONCE)

        await self._in_chunks(erase)

    async def forget_tallies(self) -> None:
        async def erase(connection: AsyncConnection) -> int:
            return await erase_tallies(connection, self._parts.now(), AT_ONCE)

        await self._in_chunks(erase)

    async def _in_chunks(self, erase: Callable[[AsyncConnection], Awaitable[int]]) -> None:
        """Breathing between them: whoever sends comes first."""
        while True:
            async with self._parts.archive.writing() as connection:
                if not await erase(connection):
                    return
            await asyncio.sleep(0.01)
