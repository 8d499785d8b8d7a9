"""Reaching Temporal, the same way from the API, the worker and the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowExecutionStatus
from temporalio.common import (
    Priority,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from postwerk.contracts.coalescing import Arrival, CoalesceInput
from postwerk.contracts.orders import BulkSendInput, HoldSignal
from postwerk.contracts.queue import OperationOrder
from postwerk.contracts.webhooks import ReplayOrder, WebhookInput
from workflows import captions
from workflows.kinds import workflow_of
from workflows.names import (
    LANE,
    SEARCH_ATTRIBUTE_NAMES,
    bulk_workflow_id,
    messages_queue,
    operation_workflow_id,
    replay_workflow_id,
    webhook_workflow_id,
    webhooks_queue,
)
from workflows.options import MESSAGE_PRIORITY
from workflows.tracing import plugins

RPC_TIMEOUT = timedelta(seconds=10)
"""No caller of ours waits longer for Temporal: the archive holds what was accepted."""
WOKEN_AT_ONCE = 20
"""Signals under way at a time when thousands of batches are told of a change."""


async def connect(*, lazy: bool = False, runtime: Runtime | None = None) -> Client:
    """A client by TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY and TEMPORAL_TLS_*.

    `lazy` connects at the first call: the API starts, and takes mail, while Temporal is away.
    """
    config = ClientConfig.load_client_connect_config()
    return await Client.connect(
        **config, data_converter=pydantic_data_converter, lazy=lazy, runtime=runtime, plugins=plugins()
    )


async def start_send(
    client: Client, order: BulkSendInput, *, task_queue: str, name: str = "", public_url: str = ""
) -> bool:
    """Start the workflow of a stored send; False when it was started before. Raises RPCError.

    One that carries a later round is another run under the same id, when the former one has ended.
    """
    kind = workflow_of(order, task_queue, name, public_url)
    try:
        await client.start_workflow(
            kind.type,
            order,
            id=bulk_workflow_id(order.bulk_id),
            task_queue=kind.task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE
            if order.again
            else WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL
            if order.again
            else WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=kind.search_attributes,
            static_summary=kind.caption.summary,
            static_details=kind.caption.details,
            priority=kind.priority,
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def hand_in(client: Client, arrival: Arrival, *, task_queue: str, public_url: str = "") -> None:
    """Tell the workflow of its key of a message that waits, and start that if none runs.

    Telling it twice is harmless. Raises RPCError, or WorkflowUpdateRPCTimeoutOrCancelledError: no worker
    took note within RPC_TIMEOUT.
    """
    caption = captions.of_coalescing(arrival, public_url)
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "Coalesce",
        CoalesceInput(first=arrival, public_url=public_url),
        id=arrival.workflow_id,
        task_queue=messages_queue(task_queue),
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=caption.summary,
        static_details=caption.details,
        priority=Priority(priority_key=MESSAGE_PRIORITY),
    )
    await client.execute_update_with_start_workflow(
        "arrive",
        arrival,
        id=arrival.bulk_id,
        result_type=datetime,
        start_workflow_operation=start,
        rpc_timeout=RPC_TIMEOUT,
    )


async def start_operation(
    client: Client, operation_id: str, *, task_queue: str, verb: str = "", public_url: str = ""
) -> None:
    """Have a stored operation carried out; harmless when that runs already. Raises RPCError."""
    caption = captions.of_operation(operation_id, verb, public_url)
    await client.start_workflow(
        "Operation",
        OperationOrder(operation_id=operation_id, public_url=public_url),
        id=operation_workflow_id(operation_id),
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=caption.summary,
        static_details=caption.details,
        priority=Priority(priority_key=1),
        rpc_timeout=RPC_TIMEOUT,
    )


async def wake_webhook(client: Client, webhook_id: str, *, task_queue: str) -> None:
    """Have its workflow look at once, and start it if none runs. Raises RPCError."""
    await client.start_workflow(
        "Webhook",
        WebhookInput(webhook_id=webhook_id),
        id=webhook_workflow_id(webhook_id),
        task_queue=webhooks_queue(task_queue),
        start_signal="wake",
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary="tells a receiver what happens",
        rpc_timeout=RPC_TIMEOUT,
    )


async def start_replay(client: Client, replay_id: str, order: ReplayOrder, *, task_queue: str) -> str:
    """Have events sent again, once; answers the id of the workflow. Raises RPCError."""
    workflow_id = replay_workflow_id(order.webhook_id, replay_id)
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            "WebhookReplay",
            order,
            id=workflow_id,
            task_queue=webhooks_queue(task_queue),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary="sends events to a receiver again",
            rpc_timeout=RPC_TIMEOUT,
        )
    return workflow_id


async def webhook_runs(client: Client, webhook_id: str) -> bool:
    """Whether its workflow does. Raises RPCError."""
    try:
        handle = client.get_workflow_handle(webhook_workflow_id(webhook_id))
        found = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return found.status is WorkflowExecutionStatus.RUNNING


async def signal_bulk_send(client: Client, bulk_id: str, name: str, signal: BaseModel) -> bool:
    """Signal the root workflow; False when there is none that runs. Raises RPCError: Temporal is away."""
    try:
        handle = client.get_workflow_handle(bulk_workflow_id(bulk_id))
        await handle.signal(name, signal, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def cancel_bulk_send(client: Client, bulk_id: str) -> bool:
    """Ask the root workflow to end; False when none runs. Raises RPCError: Temporal is away."""
    handle = client.get_workflow_handle(bulk_workflow_id(bulk_id))
    try:
        await handle.cancel(rpc_timeout=RPC_TIMEOUT)
        found = await handle.describe(rpc_timeout=RPC_TIMEOUT)  # an ended one takes a cancel like any other
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return found.status is WorkflowExecutionStatus.RUNNING


class Woken(NamedTuple):
    """Running batches that were told, and those that could not be."""

    told: int
    failed: int


async def look_again(client: Client, lane: str | None) -> Woken:
    """Tell every running batch of the lane (None: of all) that it need not sleep on. Raises RPCError.

    Batches that end meanwhile need no telling; one that cannot be told wakes at its own time.
    """
    query = f'WorkflowType IN ("Delivery", "Message") AND ExecutionStatus = "Running"{_of_lane(lane)}'
    told: list[bool] = []
    waiting: set[asyncio.Task[bool]] = set()
    try:
        async for found in client.list_workflows(query, page_size=1000, rpc_timeout=RPC_TIMEOUT):
            waiting.add(asyncio.create_task(_tell(client, found.id)))
            if len(waiting) >= WOKEN_AT_ONCE:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                told += [one.result() for one in done]
        told += await asyncio.gather(*waiting)
    finally:
        for one in waiting:
            one.cancel()
    return Woken(sum(told), len(told) - sum(told))


def _of_lane(lane: str | None) -> str:
    quoted = (lane or "").replace("\\", "\\\\").replace('"', '\\"')
    return f' AND {LANE.name} = "{quoted}"' if lane else ""


async def _tell(client: Client, workflow_id: str) -> bool:
    """False when it could not be told."""
    try:
        handle = client.get_workflow_handle(workflow_id)
        await handle.signal("look_again", HoldSignal(), rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        return error.status == RPCStatusCode.NOT_FOUND
    return True


async def workers_polling(client: Client, task_queue: str) -> int:
    """How many workers polled for SMTP-send activities of late. Raises RPCError."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        ),
        timeout=RPC_TIMEOUT,
    )
    return len({poller.identity for poller in answer.pollers})


async def backlog(client: Client, task_queue: str) -> int:
    """About how many tasks wait for a worker, of all our queues. Raises RPCError."""
    queues = (task_queue, messages_queue(task_queue))
    kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    return sum(await asyncio.gather(*(_backlog(client, one, kind) for one in queues for kind in kinds)))


async def _backlog(client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> int:
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=kind,
            report_stats=True,
        ),
        timeout=RPC_TIMEOUT,
    )
    return int(answer.stats.approximate_backlog_count)


async def register_search_attributes(client: Client) -> None:
    """Create what is missing; safe at each start and from several workers at once. Raises RPCError."""
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=RPC_TIMEOUT
    )
    missing = [name for name in SEARCH_ATTRIBUTE_NAMES if name not in known.custom_attributes]
    if missing:
        await add_search_attributes(client, missing)


async def add_search_attributes(client: Client, names: Sequence[str] = SEARCH_ATTRIBUTE_NAMES) -> None:
    """Create them as keywords; harmless where they exist. Raises RPCError."""
    request = AddSearchAttributesRequest(
        namespace=client.namespace,
        search_attributes=dict.fromkeys(names, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
    )
    try:
        await client.operator_service.add_search_attributes(request, timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:  # another worker was quicker
            raise
