"""When a bulk send's sender is told; what, the archive knows. Without wishes it gives no command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.notices import NoticeActivities
    from postwerk.contracts.notices import FAILED_STATES
    from postwerk.contracts.orders import BulkOrder, BulkSendInput, Counts
    from workflows.options import ACCIDENTS, ARCHIVE_WALK, HEARTBEAT, LATE_AFTER, TELLING


class Telling:
    """Tells of the delay after a day, of failures as they are seen, and of the end."""

    def __init__(self, order: BulkSendInput) -> None:
        self._order = order
        self._waiting: asyncio.Task[None] | None = None
        self._failures_told = 0

    def begin(self) -> None:
        """Start the clock of the delay; not for a send that ends before it is late."""
        if self._order.tell_delay and self._order.deadline > LATE_AFTER:
            self._waiting = asyncio.create_task(self._tell_of_delay())

    async def of_failures(self, counts: Counts) -> None:
        """Called with each look at the counters: when more failed than at the last one, tell."""
        failed = sum(counts.states.get(state, 0) for state in FAILED_STATES)
        if self._order.tell_each and failed > self._failures_told:
            self._failures_told = failed
            await self._tell(NoticeActivities.tell_failures, "tell of failures")

    async def of_end(self) -> None:
        """After the send was closed: nothing changes any more."""
        self.stop()
        if self._order.tell_end:
            await self._tell(NoticeActivities.tell_end, "tell of the end")

    def stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    async def _tell_of_delay(self) -> None:
        await workflow.sleep(LATE_AFTER, summary="is anything late?")
        await self._tell(NoticeActivities.tell_delay, "tell of the delay")

    async def _tell(self, activity: Callable[[Any, BulkOrder], Awaitable[int]], summary: str) -> None:
        """A notice that cannot be stored for hours is given up: it must not keep the send from its end."""
        try:
            await workflow.execute_activity_method(
                activity,
                BulkOrder(bulk_id=self._order.bulk_id, now=workflow.now()),
                summary=summary,
                start_to_close_timeout=ARCHIVE_WALK,
                schedule_to_close_timeout=TELLING,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=ACCIDENTS,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("bulk send %s: could not %s", self._order.bulk_id, summary)
