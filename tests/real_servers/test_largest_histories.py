"""No history has more than 2,000 events: a root with as many children as there may be, a busy key."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.worker import Worker

from postwerk.contracts.orders import BulkSendInput, Counts, HoldSignal
from postwerk.contracts.states import MessageState
from postwerk.rules.partition import CHILDREN_PER_WORKFLOW
from tests.real_servers.test_long_histories import STEPS, a_batch, arrive, runs_of, until
from tests.support.worker import local_server
from workflows.registered import WORKFLOWS

MOST = 2000
HOLDS = 3
ARRIVALS = 2500

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def is_everybody(client: Client, word: str) -> bool:
    """Whether every batch is `running`, or `held`."""
    numbers = range(1, CHILDREN_PER_WORKFLOW + 1)
    handles = [client.get_workflow_handle(f"bulk-bulk_x/batch-{number}") for number in numbers]
    found = [(await handle.query("progress"))["state"] for handle in handles]
    return set(found) == {word}


async def test_a_root_with_200_children_that_is_held_again_and_again() -> None:
    finish = asyncio.Event()

    @activity.defn(name="send_batch")
    async def sends_until_told(_order: RawValue) -> Counts:
        while not finish.is_set():
            activity.heartbeat()
            await asyncio.sleep(2)
        return Counts(states={MessageState.DELIVERED: 1})

    batches = tuple(a_batch(number) for number in range(1, CHILDREN_PER_WORKFLOW + 1))
    order = BulkSendInput(
        bulk_id="bulk_x", messages=len(batches), deadline=timedelta(hours=1), batches=batches
    )
    async with (
        local_server() as environment,
        Worker(
            environment.client,
            task_queue="q",
            workflows=WORKFLOWS,
            activities=[sends_until_told, *STEPS[1:]],
            max_concurrent_activities=CHILDREN_PER_WORKFLOW + 50,
            max_heartbeat_throttle_interval=timedelta(seconds=2),
            default_heartbeat_throttle_interval=timedelta(seconds=2),
        ),
    ):
        client = environment.client
        root = await client.start_workflow("BulkSend", order, id="bulk-bulk_x", task_queue="q")
        running = "WorkflowType = 'Delivery' AND ExecutionStatus = 'Running'"

        async def all_have_started() -> bool:
            return (await client.count_workflows(running)).count == len(batches)

        await until(all_have_started, 200)
        for _ in range(HOLDS):
            await root.signal("hold", HoldSignal(reason="test"))
            await until(lambda: is_everybody(client, "held"), 120)
            await root.signal("release", HoldSignal())
            await until(lambda: is_everybody(client, "running"), 120)
        finish.set()
        await root.result()
        (root_events,) = await runs_of(client, "bulk-bulk_x")
        (child_events,) = await runs_of(client, "bulk-bulk_x/batch-1")
    print(f"root {root_events} events, child {child_events}")
    assert root_events < MOST
    assert child_events < MOST


async def test_a_key_that_is_hit_thousands_of_times() -> None:
    async with (
        local_server() as environment,
        Worker(environment.client, task_queue="q", workflows=WORKFLOWS, activities=STEPS),
    ):
        each = ARRIVALS // 10
        lines = (range(n * each, (n + 1) * each) for n in range(10))
        await asyncio.gather(*[arrive(environment.client, line, timedelta(minutes=10)) for line in lines])
        lengths = await runs_of(environment.client, "key")
    print(f"{ARRIVALS} arrivals: {lengths} events")
    assert len(lengths) > 2
    assert max(lengths) < MOST
