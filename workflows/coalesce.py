"""Coalesce: of the messages of one key that arrive within a window, one is sent."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.coalescing import CoalescingActivities
    from postwerk.contracts.coalescing import Arrival, CoalesceInput, WindowEnd, WindowOrder
    from workflows.kinds import workflow_of
    from workflows.long_histories import is_long
    from workflows.markdown import moment, number
    from workflows.names import bulk_workflow_id
    from workflows.options import ACCIDENTS, QUICK_STEP
    from workflows.told import ARRIVE


@workflow.defn
class Coalesce:
    """Waits for the end of the window; what is in it, and what wins, the archive decides. Update: arrive.

    It ends with the window, unless somebody has arrived behind that. Messages that it was not told of are in
    the window all the same; of those that come when it has ended, another run is told.
    """

    @workflow.init
    def __init__(self, order: CoalesceInput) -> None:
        self._opener: Arrival | None = None
        """Who opened the window, as far as is known here."""
        self._known: set[str] = set()
        self._waiting = order.waiting
        self._rank = order.rank
        self._public_url = order.public_url
        self._take(order.first)

    @workflow.run
    async def run(self, _order: CoalesceInput) -> int:
        """Answers how many were folded into others."""
        folded = 0
        while self._opener is not None:
            opener = await self._window_ends(self._opener)
            self._opener, self._waiting, self._rank = None, 0, None
            self._known.clear()
            end = await self._end_window(opener)
            folded += end.folded
            if end.send is not None:
                await self._start(end)
            if end.first is not None:
                self._take(end.first)
            await workflow.wait_condition(workflow.all_handlers_finished)
        return folded

    @workflow.update(description=ARRIVE)
    def arrive(self, arrival: Arrival) -> datetime:
        """Another message of the key; answers when its window ends. Telling it twice is harmless."""
        self._take(arrival)
        first = self._opener or arrival
        return first.ends if arrival.at < first.ends else arrival.ends

    def _take(self, arrival: Arrival) -> None:
        if self._opener is None or arrival.at < self._opener.at:
            self._opener = arrival
        if arrival.bulk_id not in self._known:
            self._known.add(arrival.bulk_id)
            self._waiting += 1
        self._rank = arrival.rank if self._rank is None else max(self._rank, arrival.rank)
        self._show()

    async def _window_ends(self, opener: Arrival) -> Arrival:
        """Who opened the window, when it is over: an earlier one may come to our ears later."""
        while (left := opener.ends - workflow.now()) > timedelta(0):
            try:
                await workflow.wait_condition(
                    lambda first=opener: self._opener != first or is_long(),  # type: ignore[misc]
                    timeout=left,
                    timeout_summary="the window ends",
                )
            except TimeoutError:
                break
            assert self._opener is not None
            opener = self._opener
            if is_long():
                self._go_on_afresh(opener)
        return opener

    def _go_on_afresh(self, opener: Arrival) -> None:
        """Thousands have arrived: the next run needs to know of the first one only."""
        workflow.continue_as_new(
            CoalesceInput(
                first=opener, waiting=self._waiting - 1, rank=self._rank, public_url=self._public_url
            )
        )

    async def _end_window(self, opener: Arrival) -> WindowEnd:
        return await workflow.execute_activity_method(
            CoalescingActivities.end_window,
            WindowOrder(opener=opener.bulk_id, ends=opener.ends),
            summary="send the highest rank, fold the others",
            start_to_close_timeout=QUICK_STEP,
            retry_policy=ACCIDENTS,
        )

    async def _start(self, end: WindowEnd) -> None:
        """The message goes its own way from here; the reconciler may have been quicker."""
        assert end.send is not None
        kind = workflow_of(end.send, workflow.info().task_queue, end.name, self._public_url)
        try:
            await workflow.start_child_workflow(
                kind.type,
                end.send,
                id=bulk_workflow_id(end.send.bulk_id),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=kind.search_attributes,
                static_summary=kind.caption.summary,
                static_details=kind.caption.details,
                priority=kind.priority,
            )
        except WorkflowAlreadyStartedError:
            return

    def _show(self) -> None:
        assert self._opener is not None
        workflow.set_current_details(
            f"**{number(self._waiting, 'message')} waiting** · highest rank {self._rank} "
            f"· the window ends {moment(self._opener.ends)}"
        )
