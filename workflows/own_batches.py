"""The batches that a root workflow carries itself: what Children are to a bulk send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.bulks import BulkActivities
    from postwerk.contracts.orders import (
        BatchOrder,
        Counts,
        DeadlineSignal,
        ExpansionInput,
        ExpirySignal,
        HoldSignal,
    )
    from workflows.carrier import Carrier, Manner
    from workflows.options import ACCIDENTS, ARCHIVE_STEP


class OwnBatches:
    """One as a rule; more when it was started again. Before all others, and each tells when it begins."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.deadline: datetime | None = None
        self.expires_at: datetime | None = None
        self.done = 0
        self.lost = 0
        self.counts = Counts()
        self._carriers: list[Carrier] = []
        self._held: HoldSignal | None = None
        self._begins_at = workflow.now()

    @property
    def started(self) -> int:
        return len(self._carriers)

    async def deliver(self, orders: Sequence[BatchOrder], deadline: datetime) -> None:
        """Carry these; returns when all have come to their end. A cancel is recorded, then raised again."""
        runs = [asyncio.create_task(self._carry(order, self.deadline or deadline)) for order in orders]
        cancelled = False
        while not all(run.done() for run in runs):
            try:
                await workflow.wait(runs)
            except asyncio.CancelledError:
                cancelled = True
                for run in runs:
                    run.cancel()
        if cancelled:
            raise asyncio.CancelledError

    async def _carry(self, order: BatchOrder, deadline: datetime) -> None:
        runs = f"{order.number}-" if order.number > 1 else ""
        manner = Manner(urgent=True, begins_at=self._begins_at, runs=runs)
        carrier = Carrier(order, deadline, lambda: self.changed(), manner, expires_at=self.expires_at)
        self._carriers.append(carrier)
        if self._held is not None:
            carrier.hold(self._held)
        try:
            self.counts += await carrier.carry()
        except ActivityError:
            self.lost += 1
        except asyncio.CancelledError:
            pass  # it has recorded what it did not send
        self.done += 1
        self.changed()

    async def expand(self, bulk_id: str, first: int, last: int, deadline: datetime) -> None:
        """Those that were made since."""
        orders = await workflow.execute_activity_method(
            BulkActivities.batches_of,
            ExpansionInput(
                bulk_id=bulk_id, first=first, last=last, deadline=deadline, expires_at=self.expires_at
            ),
            summary=f"batches {first:,} to {last:,}",
            start_to_close_timeout=ARCHIVE_STEP,
            retry_policy=ACCIDENTS,
        )
        await self.deliver(orders, deadline)

    async def hold(self, signal: HoldSignal) -> None:
        self._held = signal
        for carrier in self._carriers:
            carrier.hold(signal)

    async def release(self, signal: HoldSignal) -> None:
        self._held = None
        for carrier in self._carriers:
            carrier.release(signal)

    async def signal(self, name: str, signal: HoldSignal | DeadlineSignal | ExpirySignal) -> None:
        for carrier in self._carriers:
            getattr(carrier, name)(signal)
