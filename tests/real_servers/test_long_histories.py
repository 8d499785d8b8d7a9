"""No history grows without end: who hears a lot goes on in a new run, and many children are told at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
)
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.signalling import SignalActivities
from postwerk.contracts.coalescing import Arrival, CoalesceInput, WindowEnd
from postwerk.contracts.orders import (
    BatchOrder,
    BulkSendInput,
    Counts,
    DeadlineSignal,
    HoldSignal,
    Look,
)
from postwerk.contracts.states import MessageState
from tests.support.worker import local_server
from workflows import options
from workflows.registered import WORKFLOWS

SHORT = 30
"""Events after which a test's workflow goes on afresh."""
MOST = 2000


@activity.defn(name="send_batch")
async def sends_for_ever(_order: RawValue) -> Counts:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


def quick_step(name: str, answer: Any) -> Callable[..., Awaitable[Any]]:
    @activity.defn(name=name)
    async def step(_order: RawValue) -> Any:
        return answer

    return step


CANCELLED = Counts(states={MessageState.CANCELLED: 1})
STEPS = [
    sends_for_ever,
    SignalActivities().tell_children,
    *(quick_step(name, "running") for name in ("begin_bulk",)),
    *(quick_step(name, True) for name in ("hold_bulk", "release_bulk", "cancel_bulk")),
    *(quick_step(name, None) for name in ("set_deadline", "hurry_batch")),
    *(quick_step(name, CANCELLED) for name in ("settle_batch", "close_bulk", "close_cancelled")),
    quick_step("progress_of", Look()),
    quick_step("end_window", WindowEnd(folded=3)),
]


@asynccontextmanager
async def at_work() -> AsyncIterator[Client]:
    async with (
        local_server() as environment,
        Worker(
            environment.client,
            task_queue="q",
            workflows=WORKFLOWS,
            activities=STEPS,
            max_heartbeat_throttle_interval=timedelta(seconds=0.05),
            default_heartbeat_throttle_interval=timedelta(seconds=0.05),
        ),
    ):
        yield environment.client


def a_batch(number: int) -> BatchOrder:
    return BatchOrder(
        bulk_id="bulk_x", number=number, lane="one.example", first_seq=number, last_seq=number, messages=1
    )


async def runs_of(client: Client, workflow_id: str) -> list[int]:
    """How many events each run of it has, the first run first."""
    lengths: list[int] = []
    run_id = (await first_run(client, workflow_id)) or None
    while run_id:
        events = (await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()).events
        lengths.append(len(events))
        run_id = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
    return lengths


async def first_run(client: Client, workflow_id: str) -> str:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return history.events[0].workflow_execution_started_event_attributes.first_execution_run_id


async def until(condition: Callable[[], Awaitable[bool]], patience: float = 20) -> None:
    async with asyncio.timeout(patience):
        while not await condition():
            await asyncio.sleep(0.05)


async def state_of(client: Client, number: int) -> str:
    handle = client.get_workflow_handle(f"bulk-bulk_x/batch-{number}")
    return str((await handle.query("progress"))["state"])


async def test_many_children_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "TOLD_ONE_BY_ONE", 2)
    batches = tuple(a_batch(number) for number in (1, 2, 3))
    order = BulkSendInput(bulk_id="bulk_x", messages=3, deadline=timedelta(hours=1), batches=batches)
    async with at_work() as client:
        root = await client.start_workflow("BulkSend", order, id="bulk-bulk_x", task_queue="q")
        await until(lambda: are(client, "running"))
        later = datetime.now(UTC) + timedelta(hours=2)
        await root.signal("set_deadline", DeadlineSignal(deadline=later))
        await root.signal("hold", HoldSignal(reason="test"))
        await until(lambda: are(client, "held"))
        await root.signal("release", HoldSignal())
        await until(lambda: are(client, "running"))
        batch = client.get_workflow_handle("bulk-bulk_x/batch-1")
        assert datetime.fromisoformat((await batch.query("progress"))["deadline"]) > later
        await root.cancel()
        with pytest.raises(WorkflowFailureError):
            await root.result()
        history = await root.fetch_history()
    kinds = Counter(event.WhichOneof("attributes") for event in history.events)
    assert kinds["signal_external_workflow_execution_initiated_event_attributes"] == 0
    told = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert told.count("tell_children") == 3


async def are(client: Client, state: str) -> bool:
    try:
        return [await state_of(client, number) for number in (1, 2, 3)] == [state] * 3
    except RPCError:  # not all of them have started
        return False


async def arrive(client: Client, numbers: range, window: timedelta) -> None:
    """So many messages of one key, one after the other."""
    at = datetime.now(UTC)
    for number in numbers:
        arrival = Arrival(bulk_id=f"bulk_{number}", rank=number, at=at, window=window, workflow_id="key")
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "Coalesce",
            CoalesceInput(first=arrival, public_url="https://mail.example"),
            id="key",
            task_queue="q",
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        await client.execute_update_with_start_workflow(
            "arrive", arrival, id=arrival.bulk_id, result_type=datetime, start_workflow_operation=start
        )


async def test_a_key_that_is_hit_again_and_again_goes_on_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "LONG_HISTORY", SHORT)
    async with at_work() as client:
        await arrive(client, range(20), timedelta(seconds=2.5))
        handle = client.get_workflow_handle("key")
        assert "20 messages waiting" in await details_of(client, "key")
        assert await handle.result() == 3
        lengths = await runs_of(client, "key")
    assert len(lengths) > 2
    assert max(lengths) < 2 * SHORT


async def details_of(client: Client, workflow_id: str) -> str:
    found = await client.get_workflow_handle(workflow_id).query("__temporal_workflow_metadata")
    return str(found.current_details)
