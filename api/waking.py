"""Telling batches that sleep in Temporal of a change on their lane, behind the caller's back."""

from __future__ import annotations

import asyncio

from temporalio.client import Client

from api.starting import TEMPORAL_AWAY
from postwerk.observe import log
from workflows.client import look_again

REST_KNOWN = 0.2
"""Seconds after which every worker knows that a rest has ended."""
LIMITS_KNOWN = 1.5
"""... and that limits have changed: woken earlier, a batch would only be sent away by the old ones."""


class Waker:
    """One round at a time for each lane; a change meanwhile makes another round."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._rounds: dict[str | None, asyncio.Task[None]] = {}
        self._again: dict[str | None, float] = {}

    def wake(self, lane: str | None, after: float) -> None:
        """Wake the lane's running batches, or (None) all, in `after` seconds; returns at once."""
        if lane in self._rounds:
            self._again[lane] = max(after, self._again.get(lane, 0.0))
        else:
            self._rounds[lane] = asyncio.create_task(self._wake(lane, after))

    async def close(self) -> None:
        rounds = list(self._rounds.values())
        for one in rounds:
            one.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)

    async def _wake(self, lane: str | None, after: float) -> None:
        next_after: float | None = after
        try:
            while next_after is not None:
                await asyncio.sleep(next_after)
                await self._tell(lane)
                next_after = self._again.pop(lane, None)
        finally:
            del self._rounds[lane]

    async def _tell(self, lane: str | None) -> None:
        try:
            woken = await look_again(self._client, lane)
        except TEMPORAL_AWAY as error:
            log.batches_not_woken(lane, error)
            return
        log.batches_woken(lane, woken.told, woken.failed)
