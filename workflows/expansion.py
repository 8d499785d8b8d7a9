"""Expansion: a knot of the tree for bulk sends of more than 200 batches."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.bulks import BulkActivities
    from postwerk.contracts.options import earlier
    from postwerk.contracts.orders import (
        Counts,
        DeadlineSignal,
        ExpansionInput,
        ExpirySignal,
        HoldSignal,
    )
    from postwerk.rules.partition import CHILDREN_PER_WORKFLOW
    from workflows.children import Children
    from workflows.heard import Heard
    from workflows.options import ACCIDENTS, ARCHIVE_STEP
    from workflows.progress import knot_details
    from workflows.told import HOLD, LOOK_AGAIN, PROGRESS, RELEASE, RETRY_NOW, SET_DEADLINE, SET_EXPIRY


@workflow.defn
class Expansion:
    """Starts the batches first to last as Delivery children, or further Expansions. Passes signals down."""

    @workflow.init
    def __init__(self, order: ExpansionInput) -> None:
        self._order = order
        self._children = Children(self._show)
        self._children.expires_at = order.expires_at
        self._heard = Heard()

    @workflow.run
    async def run(self, order: ExpansionInput) -> Counts:
        if order.last - order.first < CHILDREN_PER_WORKFLOW:
            orders = await workflow.execute_activity_method(
                BulkActivities.batches_of,
                order,
                summary=f"batches {order.first:,} to {order.last:,}",
                start_to_close_timeout=ARCHIVE_STEP,
                retry_policy=ACCIDENTS,
            )
            await self._children.deliver(orders, order.deadline)
        else:
            await self._children.expand(order.bulk_id, order.first, order.last, order.deadline)
        return self._children.counts

    def _show(self) -> None:
        workflow.set_current_details(
            knot_details(
                done=self._children.done,
                started=self._children.started,
                lost=self._children.lost,
                counts=self._children.counts,
                deadline=earlier(self._children.deadline or self._order.deadline, self._children.expires_at),
                held=self._children.is_held,
            )
        )

    @workflow.signal(description=HOLD)
    async def hold(self, signal: HoldSignal | None = None) -> None:
        if self._heard.is_news(signal):
            await self._children.hold(signal or HoldSignal())

    @workflow.signal(description=RELEASE)
    async def release(self, signal: HoldSignal | None = None) -> None:
        if not self._heard.is_news(signal):
            return
        if signal is not None and signal.deadline is not None:
            self._children.deadline = signal.deadline
        await self._children.release(signal or HoldSignal())

    @workflow.signal(description=RETRY_NOW)
    async def retry_now(self, signal: HoldSignal | None = None) -> None:
        await self._children.signal("retry_now", signal or HoldSignal())

    @workflow.signal(description=LOOK_AGAIN)
    async def look_again(self, signal: HoldSignal | None = None) -> None:
        await self._children.signal("look_again", signal or HoldSignal())

    @workflow.signal(description=SET_DEADLINE)
    async def set_deadline(self, signal: DeadlineSignal) -> None:
        self._children.deadline = signal.deadline
        await self._children.signal("set_deadline", signal)

    @workflow.signal(description=SET_EXPIRY)
    async def set_expiry(self, signal: ExpirySignal) -> None:
        self._children.expires_at = signal.expires_at
        await self._children.signal("set_expiry", signal)

    @workflow.query(description=PROGRESS)
    def progress(self) -> dict[str, int]:
        return {
            "first_batch": self._order.first,
            "last_batch": self._order.last,
            "children": self._children.started,
            "children_done": self._children.done,
        }
