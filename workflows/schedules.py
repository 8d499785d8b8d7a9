"""Temporal's Schedules: made, changed and taken away to be as the archive says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.client import ScheduleSpec as TemporalSpec
from temporalio.client import ScheduleState as TemporalState
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from postwerk.contracts.schedules import RecurringInput, ScheduleSpec
from postwerk.contracts.workflow_ids import firing_workflow_id, temporal_schedule_id
from workflows import captions
from workflows.client import RPC_TIMEOUT
from workflows.options import BULK_PRIORITY

CAUGHT_UP_WITHIN = timedelta(hours=1)
"""A time that Temporal missed by more is passed over: nobody wants Monday's mail on Thursday."""
NEXT_TIMES = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def put_schedule(
    client: Client,
    schedule_id: str,
    spec: ScheduleSpec,
    *,
    name: str,
    paused: str | None,
    task_queue: str,
    public_url: str = "",
) -> None:
    """Have it so, whether it was there or not; `paused`: why, None if it is active. Raises RPCError."""
    caption = captions.of_schedule(schedule_id, name, public_url)
    order = RecurringInput(schedule_id=schedule_id, public_url=public_url)
    wanted = _schedule(order, spec, caption, paused, task_queue)
    try:
        await client.create_schedule(temporal_schedule_id(schedule_id), wanted, rpc_timeout=RPC_TIMEOUT)
    except ScheduleAlreadyRunningError:

        def update(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=wanted)

        handle = client.get_schedule_handle(temporal_schedule_id(schedule_id))
        await handle.update(update, rpc_timeout=RPC_TIMEOUT)


async def remove_schedule(client: Client, schedule_id: str) -> None:
    """Harmless when there is none. Raises RPCError: Temporal is away."""
    try:
        await client.get_schedule_handle(temporal_schedule_id(schedule_id)).delete(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


async def next_times(client: Client, schedule_id: str) -> list[datetime] | None:
    """When it comes next, five times at most; None when Temporal knows of none. Raises RPCError."""
    try:
        handle = client.get_schedule_handle(temporal_schedule_id(schedule_id))
        found = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise
    return list(found.info.next_action_times)[:NEXT_TIMES]


async def fire_by_hand(
    client: Client, schedule_id: str, at: datetime, *, task_queue: str, name: str = "", public_url: str = ""
) -> str:
    """Make one send of it now, also while it is paused; answers the workflow's id. Raises RPCError."""
    workflow_id = firing_workflow_id(schedule_id, at)
    caption = captions.of_schedule(schedule_id, name, public_url)
    try:
        await client.start_workflow(
            "Recurring",
            RecurringInput(schedule_id=schedule_id, at=at, public_url=public_url),
            id=workflow_id,
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=caption.summary,
            static_details=caption.details,
            priority=Priority(priority_key=1),
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return workflow_id
    return workflow_id


def _schedule(
    order: RecurringInput, spec: ScheduleSpec, caption: captions.Caption, paused: str | None, task_queue: str
) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            "Recurring",
            order,
            id=firing_workflow_id(order.schedule_id),
            task_queue=task_queue,
            static_summary=caption.summary,
            static_details=caption.details,
            priority=Priority(priority_key=BULK_PRIORITY),
        ),
        spec=_spec(spec),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CAUGHT_UP_WITHIN),
        state=TemporalState(paused=paused is not None, note=paused or ""),
    )


def _spec(spec: ScheduleSpec) -> TemporalSpec:
    """Temporal counts intervals from 1970: the offset has them begin at the anchor."""
    intervals = []
    if spec.every is not None:
        offset = ((spec.anchor or _EPOCH) - _EPOCH) % spec.every
        intervals = [ScheduleIntervalSpec(every=spec.every, offset=offset)]
    return TemporalSpec(
        cron_expressions=[spec.cron] if spec.cron else [],
        intervals=intervals,
        start_at=spec.start_at,
        end_at=spec.end_at,
        jitter=spec.jitter or None,
        time_zone_name=spec.time_zone,
    )
