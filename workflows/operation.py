"""Operation: carries out what an operator wants done to messages, however many they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.operations import OperationActivities
    from postwerk.contracts.queue import Account, NextRun, OperationOrder
    from workflows.kinds import workflow_of
    from workflows.names import bulk_workflow_id
    from workflows.operation_details import operation_details
    from workflows.options import ACCIDENTS, ARCHIVE_STEP, ARCHIVE_WALK, HEARTBEAT

OLD_RUN_ENDS = timedelta(seconds=1)
OLD_RUN_LOOKS = 30
"""So often the end of a send's former run is waited for; after that the reconciler starts the next one."""


@workflow.defn
class Operation:
    """Changes the messages page by page, then tells the batches that sleep. What it did is in the archive."""

    @workflow.run
    async def run(self, order: OperationOrder) -> int:
        self._show("changes messages", None)
        changed: int = await self._walk(OperationActivities.carry_out_operation, order, "change messages")
        account = await self._account(order) if workflow.patched("account") else None
        self._show("tells the batches that sleep", account)
        grown = await self._walk(OperationActivities.tell_batches, order, "tell batches that sleep")
        for bulk_id in grown:
            self._show(f"starts {bulk_id} again", account)
            await self._start_again(bulk_id, order.public_url)
        self._show("done", account)
        return changed

    async def _account(self, order: OperationOrder) -> Account:
        """For its details; it stands in the archive."""
        return await workflow.execute_local_activity_method(
            OperationActivities.account_of,
            order.operation_id,
            summary="what it has changed",
            start_to_close_timeout=ARCHIVE_STEP,
        )

    def _show(self, now: str, account: Account | None) -> None:
        workflow.set_current_details(operation_details(now, workflow.now(), account))

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

    async def _start_again(self, bulk_id: str, public_url: str) -> None:
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
            if run is None or await _started(run, public_url):
                return
            await workflow.sleep(OLD_RUN_ENDS, summary="the former run ends")


async def _started(run: NextRun, public_url: str) -> bool:
    kind = workflow_of(run.order, workflow.info().task_queue, run.name, public_url)
    try:
        await workflow.start_child_workflow(
            kind.type,
            run.order,
            id=bulk_workflow_id(run.order.bulk_id),
            task_queue=kind.task_queue,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=kind.search_attributes,
            static_summary=kind.caption.summary,
            static_details=kind.caption.details,
            priority=kind.priority,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
