"""Looks at the counters of a send: what they found, and how fast it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.bulks import BulkActivities
    from postwerk.contracts.orders import Counts, Look
    from postwerk.contracts.states import MessageState
    from workflows.markdown import days
    from workflows.options import ARCHIVE_STEP, FIRST_LOOK, LAST_LOOK
    from workflows.progress import Moments


class Looking:
    """After 2, 4, 8 ... seconds, then every six hours; `show` is called when there is something new."""

    def __init__(
        self,
        bulk_id: str,
        messages: int,
        show: Callable[[], None],
        tell: Callable[[Counts], Awaitable[None]],
    ) -> None:
        self._bulk_id = bulk_id
        self._show = show
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._untried = messages
        self._since: datetime | None = None
        self.counts = Counts()
        """The latest; of the end when there was one."""
        self._last: Look | None = None
        self._looks_again: datetime | None = None
        self._per_second = 0.0
        """Messages that were tried for the first time between the last two looks."""

    def begin(self) -> None:
        """Its messages may go from now on."""
        self._since = self._since or workflow.now()
        self._task = asyncio.create_task(self._now_and_then())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def end(self, counts: Counts) -> None:
        """What closing it has found: nothing is waited for any more."""
        self.counts = counts
        self._last = self._looks_again = None

    def moments(self, *, begins_at: datetime | None, held_since: datetime | None) -> Moments:
        """For the live details."""
        return Moments(
            begins_at=begins_at,
            held_since=held_since,
            look=self._last,
            looks_again=self._looks_again,
            per_second=self._per_second,
        )

    async def _now_and_then(self) -> None:
        wait = FIRST_LOOK
        while True:
            self._looks_again = workflow.now() + wait
            await workflow.sleep(wait, summary=f"look at the counters after {days(wait)}")
            found = await workflow.execute_local_activity_method(
                BulkActivities.progress_of,
                self._bulk_id,
                summary="how many stand where, and what the rest waits for",
                start_to_close_timeout=ARCHIVE_STEP,
            )
            wait = min(wait * 2, LAST_LOOK)
            self._note(found, workflow.now())
            self._looks_again = workflow.now() + wait
            self._show()
            await self._tell(self.counts)

    def _note(self, found: Look, now: datetime) -> None:
        untried = found.states.get(MessageState.QUEUED, 0)
        seconds = (now - self._since).total_seconds() if self._since else 0.0
        self._per_second = max(self._untried - untried, 0) / seconds if seconds > 0 else 0.0
        self._untried, self._since = untried, now
        self.counts = self._last = found
