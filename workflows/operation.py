"""Operation: carries out what an operator wants done to messages, however many they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import (
    Priority,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.operations import OperationActivities
    from postwerk.contracts.queue import NextRun, OperationOrder
    from workflows.kinds import workflow_of
    from workflows.names import bulk_workflow_id
    from workflows.options import ACCIDENTS, ARCHIVE_STEP, ARCHIVE_WALK, HEARTBEAT

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
    kind = workflow_of(run.order, workflow.info().task_queue, run.name)
    try:
        await workflow.start_child_workflow(
            kind.type,
            run.order,
            id=bulk_workflow_id(run.order.bulk_id),
            task_queue=kind.task_queue,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=kind.search_attributes,
            static_summary=kind.summary,
            priority=kind.priority,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
