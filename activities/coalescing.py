"""The end of a coalescing window."""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.clock import ActivityClock
from activities.parts import WorkerParts
from postwerk.archive import coalescing
from postwerk.contracts.coalescing import WindowEnd, WindowOrder
from postwerk.errors import NotFound


class CoalescingActivities:
    """Safe to repeat: what was decided once stays so."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    @activity.defn
    async def end_window(self, order: WindowOrder) -> WindowEnd:
        """Decide in one transaction; answers what starts the workflow of the message that is to be sent."""
        now = ActivityClock().now()
        try:
            async with self._parts.archive.writing() as connection:
                return await coalescing.end_window(connection, order, now, self._parts.shard)
        except NotFound as error:
            raise ApplicationError(error.message, type="NotFound", non_retryable=True) from None
