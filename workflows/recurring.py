"""Recurring: one time of a schedule. Makes a fresh bulk send of its model, and starts it."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.recurring import RecurringActivities
    from postwerk.contracts.queue import NextRun
    from postwerk.contracts.schedules import Firing, ModelCopy, RecurringInput
    from workflows.kinds import workflow_of
    from workflows.markdown import number
    from workflows.names import bulk_workflow_id
    from workflows.options import ACCIDENTS, ARCHIVE_STEP, ARCHIVE_WALK, HEARTBEAT

_PLANNED_FOR = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""Temporal's Schedules say by it which of their times it is, however late it begins."""


@workflow.defn
class Recurring:
    """Answers the id of the bulk send, or "" when the schedule is paused or deleted by now."""

    @workflow.run
    async def run(self, order: RecurringInput) -> str:
        firing = Firing(
            schedule_id=order.schedule_id, at=order.at or _planned_for(), by_hand=order.at is not None
        )
        copy: ModelCopy | None = await workflow.execute_activity_method(
            RecurringActivities.model_to_copy,
            firing,
            summary="is it still wanted?",
            start_to_close_timeout=ARCHIVE_STEP,
            retry_policy=ACCIDENTS,
        )
        if copy is None:
            workflow.set_current_details("**nothing made**: the schedule is paused or deleted by now")
            return ""
        workflow.set_current_details(f"makes the bulk send `{copy.bulk_id}` of its model")
        run: NextRun = await workflow.execute_activity_method(
            RecurringActivities.copy_model,
            copy,
            summary="make a bulk send of the model",
            start_to_close_timeout=ARCHIVE_WALK,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ACCIDENTS,
        )
        await _start(run, order.public_url)
        workflow.set_current_details(
            f"**made** the bulk send `{copy.bulk_id}`, {number(run.order.messages, 'recipient')}: "
            f"workflow `{bulk_workflow_id(copy.bulk_id)}`"
        )
        return copy.bulk_id


def _planned_for() -> datetime:
    return workflow.info().typed_search_attributes.get(_PLANNED_FOR) or workflow.info().start_time


async def _start(run: NextRun, public_url: str) -> None:
    """It lives on by itself; the reconciler may have been quicker."""
    kind = workflow_of(run.order, workflow.info().task_queue, run.name, public_url)
    try:
        await workflow.start_child_workflow(
            kind.type,
            run.order,
            id=bulk_workflow_id(run.order.bulk_id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=kind.search_attributes,
            static_summary=kind.caption.summary,
            static_details=kind.caption.details,
            priority=kind.priority,
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("bulk send %s runs already", run.order.bulk_id)
