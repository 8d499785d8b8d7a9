"""BulkSend: the root workflow of one bulk send; its batches are carried by children."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from postwerk.contracts.orders import BulkSendInput, Counts
    from workflows.children import Children
    from workflows.root import Root


@workflow.defn
class BulkSend(Root):
    """One Delivery for each batch, below Expansions where there are more than 200."""

    @workflow.init
    def __init__(self, order: BulkSendInput) -> None:
        super().__init__(order, Children())

    @workflow.run
    async def run(self, order: BulkSendInput) -> Counts:
        return await self.carry_to_the_end(order)
