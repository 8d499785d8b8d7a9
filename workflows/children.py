"""The children of a workflow: started, signalled and gathered together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError, ChildWorkflowError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.signalling import SignalActivities
    from postwerk.contracts.options import earlier
    from postwerk.contracts.orders import (
        BatchOrder,
        ChildrenSignal,
        Counts,
        DeadlineSignal,
        DeliveryInput,
        ExpansionInput,
        ExpirySignal,
        HoldSignal,
    )
    from postwerk.rules.partition import split_range
    from workflows import captions, options
    from workflows.names import BULK_ID, LANE, delivery_workflow_id, expansion_workflow_id
    from workflows.options import ACCIDENTS, ARCHIVE_STEP, HEARTBEAT

Handle = workflow.ChildWorkflowHandle[Any, Counts]


class Children:
    """At most 200 children; `changed` is called whenever one ends."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._handles: list[Handle] = []
        self.changed = changed
        self._cancelled = False
        self.deadline: datetime | None = None
        """Where it has moved: of children that start from now on."""
        self.expires_at: datetime | None = None
        """When all of them end at the latest: of children that start from now on."""
        self._standing_hold: HoldSignal | None = None
        """Also for children that start only after the signal came."""
        self._round = asyncio.Lock()
        self._rounds = 0
        self.done = 0
        self.lost = 0
        """Children that ended by an accident: terminated, or failed for good."""
        self.counts = Counts()

    @property
    def started(self) -> int:
        return len(self._handles)

    @property
    def is_held(self) -> bool:
        """Those that start from now on are, too."""
        return self._standing_hold is not None

    async def deliver(self, orders: Sequence[BatchOrder], deadline: datetime) -> None:
        """One Delivery for each batch; returns when all have ended."""
        await self._run_all([partial(self._start_delivery, order, deadline) for order in orders])

    async def expand(self, bulk_id: str, first: int, last: int, deadline: datetime) -> None:
        """One Expansion for each part of the batches first to last; returns when all have ended."""
        parts = [
            ExpansionInput(
                bulk_id=bulk_id,
                first=a,
                last=b,
                deadline=self.deadline or deadline,
                expires_at=self.expires_at,
            )
            for a, b in split_range(first, last)
        ]
        await self._run_all([partial(self._start_expansion, part) for part in parts])

    async def _run_all(self, starts: Sequence[Callable[[], Awaitable[Handle]]]) -> None:
        """A cancel reaches every child, started or about to be, and all are waited for."""
        runs = [asyncio.create_task(self._run_one(start)) for start in starts]
        cancelled = False
        waiting = list(runs)
        while waiting:
            try:
                _, waiting = await workflow.wait(waiting)
            except asyncio.CancelledError:
                cancelled = self._cancelled = True
                for run in runs:
                    run.cancel()
                waiting = [run for run in runs if not run.done()]
        if cancelled:
            raise asyncio.CancelledError

    async def _run_one(self, start: Callable[[], Awaitable[Handle]]) -> None:
        try:
            handle: Handle = await start()
            self._handles.append(handle)
            if self._standing_hold is not None and not self._cancelled:
                with suppress(asyncio.CancelledError):
                    await self._signal_one(handle, "hold", self._standing_hold)
            if self._cancelled:
                await self._cancel_new(handle)
            self.counts += await handle
        except (ChildWorkflowError, asyncio.CancelledError) as error:
            # A child cancelled by itself has recorded what it did not send.
            self.lost += not is_cancelled_exception(error)
        self.done += 1
        self.changed()

    async def _cancel_new(self, handle: Handle) -> None:
        """A cancel between a child's start and the news of it is lost on the way, or while it is signalled.

        A task that is cancelled before its first step ends at once, and nobody would wait for the child.
        """
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        handle.cancel()

    async def _start_delivery(self, order: BatchOrder, deadline: datetime) -> Handle:
        deadline = self.deadline or deadline
        caption = captions.of_batch(order, earlier(deadline, self.expires_at))
        return await workflow.start_child_workflow(
            "Delivery",
            DeliveryInput(batch=order, deadline=deadline, expires_at=self.expires_at),
            id=delivery_workflow_id(order.bulk_id, order.number),
            result_type=Counts,
            static_summary=caption.summary,
            static_details=caption.details,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(BULK_ID, order.bulk_id), SearchAttributePair(LANE, order.lane)]
            ),
        )

    async def _start_expansion(self, order: ExpansionInput) -> Handle:
        caption = captions.of_expansion(order)
        return await workflow.start_child_workflow(
            "Expansion",
            order,
            id=expansion_workflow_id(order.bulk_id, order.first, order.last),
            result_type=Counts,
            static_summary=caption.summary,
            static_details=caption.details,
            search_attributes=TypedSearchAttributes([SearchAttributePair(BULK_ID, order.bulk_id)]),
        )

    async def hold(self, signal: HoldSignal) -> None:
        """Hold all, those too that start from now on."""
        self._standing_hold = numbered = self._numbered(signal)
        await self._in_rounds("hold", numbered)

    async def release(self, signal: HoldSignal) -> None:
        self._standing_hold = None
        await self._in_rounds("release", self._numbered(signal))

    def _numbered(self, signal: HoldSignal) -> HoldSignal:
        self._rounds += 1
        return signal.model_copy(update={"number": self._rounds})

    async def _in_rounds(self, name: str, signal: HoldSignal) -> None:
        """One round after the other. Only the last one matters."""
        async with self._round:
            if signal.number == self._rounds or not workflow.patched("hold-in-rounds"):
                await self.signal(name, signal)

    async def signal(self, name: str, signal: HoldSignal | DeadlineSignal | ExpirySignal) -> None:
        """Pass a signal down to every child that has not ended."""
        running = [handle for handle in self._handles if not handle.done()]
        if len(running) > options.TOLD_ONE_BY_ONE and workflow.patched("told-together"):
            await self._tell_together(running, name, signal)
        else:
            await asyncio.gather(*[self._signal_one(handle, name, signal) for handle in running])

    async def _tell_together(
        self, handles: Sequence[Handle], name: str, signal: HoldSignal | DeadlineSignal | ExpirySignal
    ) -> None:
        """Two events each would fill the history: nobody says how often a send is held and released."""
        ids = [handle.id for handle in handles]
        parent = f"{ids[0].rpartition('/')[0]}/"
        await workflow.execute_activity_method(
            SignalActivities.tell_children,
            ChildrenSignal(
                parent=parent,
                children=tuple(one.removeprefix(parent) for one in ids),
                name=name,
                body=signal.model_dump_json(),
            ),
            summary=f"{name.replace('_', ' ')}: tell {len(ids):,} children",
            start_to_close_timeout=ARCHIVE_STEP,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ACCIDENTS,
            priority=Priority(priority_key=1),
        )

    async def _signal_one(
        self, handle: Handle, name: str, signal: HoldSignal | DeadlineSignal | ExpirySignal
    ) -> None:
        try:
            await handle.signal(name, signal)
        except ApplicationError as error:
            if error.type != "ExternalWorkflowExecutionNotFound":  # it has ended meanwhile and needs none
                raise
