"""Operation: carries out what an operator wants done to messages, however many they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.operations import OperationActivities
    from postwerk.contracts.queue import NextRun, OperationOrder
    from workflows.names import BULK_ID, BULK_STATE, bulk_workflow_id
    from workflows.options import ACCIDENTS, ARCHIVE_STEP, ARCHIVE_WALK, BULK_PRIORITY, HEARTBEAT

OLD_RUN_ENDS = timedelta(seconds=1)
OLD_RUN_LOOKS = 30
"""So often the end of a send's former run is waited for; after that the reconciler starts the next one."""


@workflow.defn
class Operation:
    """Changes the messages page by page, then tells the batches that sleep. What it did is in the archive."""

    @workflow.run
    async def run(self, order: OperationOrder) -> int:
        changed: int = await self._walk(OperationActivities.carry_out_operation, order, "change messages")
        for bulk_id in await self._walk(OperationActivities.tell_batches, order, "tell batches"):
            await self._start_again(bulk_id)
        return changed

    async def _walk(
        self, activity: Callable[[Any, Any], Awaitable[Any]], argument: object, summary: str
    ) -> Any:
        return await workflow.execute_activity_method(
            activity,
            argument,
            summary=summary,
            start_to_close_timeout=ARCHIVE_WALK,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ACCIDENTS,
            priority=Priority(priority_key=1),
        )

    async def _start_again(self, bulk_id: str) -> None:
        """A send that had ended gets another run; the former one may still be telling of its end."""
        for _ in range(OLD_RUN_LOOKS):
            run: NextRun | None = await workflow.execute_activity_method(
                OperationActivities.next_run,
                bulk_id,
                summary="start again",
                start_to_close_timeout=ARCHIVE_STEP,
                retry_policy=ACCIDENTS,
                priority=Priority(priority_key=1),
            )
            if run is None or await _started(run):
                return
            await workflow.sleep(OLD_RUN_ENDS, summary="the former run ends")


async def _started(run: NextRun) -> bool:
    title = f"{run.name} · " if run.name else ""
    try:
        await workflow.start_child_workflow(
            "BulkSend",
            run.order,
            id=bulk_workflow_id(run.order.bulk_id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(BULK_ID, run.order.bulk_id), SearchAttributePair(BULK_STATE, "running")]
            ),
            static_summary=f"{title}failed messages again"[:200],
            priority=Priority(priority_key=BULK_PRIORITY, fairness_key=run.order.bulk_id),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
