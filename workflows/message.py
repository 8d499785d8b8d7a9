"""Message: the workflow of one transactional mail. A root without children: it sends the mail itself."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from postwerk.contracts.orders import BulkOrder, BulkSendInput, Counts
    from workflows import bulk_steps
    from workflows.options import ARCHIVE_STEP, AT_ONCE
    from workflows.own_batches import OwnBatches
    from workflows.root import Root


@workflow.defn
class Message(Root):
    """Signals and query are those of a bulk send, and mean the same."""

    @workflow.init
    def __init__(self, order: BulkSendInput) -> None:
        super().__init__(order, OwnBatches())

    @workflow.run
    async def run(self, order: BulkSendInput) -> Counts:
        return await self.carry_to_the_end(order)

    async def _begin(self) -> None:
        """The activity that sends the mail marks it begun: no step of its own stands before the mail.

        One that was stopped before is found by that activity, which then sends nothing.
        """
        self._begun = True

    async def _close_by(self, order: BulkOrder) -> Counts:
        """In this worker, without a round trip; while the archive is away, as any other activity."""
        try:
            counts: Counts = await workflow.execute_local_activity_method(
                bulk_steps.closing(order),
                order,
                summary="close",
                start_to_close_timeout=ARCHIVE_STEP,
                retry_policy=AT_ONCE,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return await super()._close_by(order)
        return counts
