"""Suspensions ended by hand of which perhaps not every batch was told: the API died, or a list was behind."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio.client import Client

from postwerk.archive.engine import Archive
from postwerk.archive.suspensions import ended_by_hand
from workflows.client import look_again

TOLD_BY_THEN = timedelta(seconds=2)
"""Whoever ended it tells them; younger ones are being told right now."""
LOOKED_BACK = timedelta(minutes=2)
"""A batch whose telling was lost would sleep until the suspension had ended by itself, perhaps for days."""


class SecondWaking:
    """Tells the batches of each such lane once more: once in each process that looks."""

    def __init__(self, archive: Archive, client: Client) -> None:
        self._archive = archive
        self._client = client
        self._told: dict[str, datetime] = {}
        """When those ended that this process has told of."""

    async def look(self, now: datetime) -> None:
        """Raises RPCError; what was not told then is told at the next look."""
        self._told = {one: ended for one, ended in self._told.items() if ended > now - LOOKED_BACK}
        async with self._archive.reading() as connection:
            ended = await ended_by_hand(connection, now - LOOKED_BACK, now - TOLD_BY_THEN)
        new = [one for one in ended if one.id not in self._told]
        for lane in sorted({lane for one in new for lane in one.destination.lanes}):
            await look_again(self._client, lane)
        self._told |= {one.id: one.ended_at or now for one in new}
