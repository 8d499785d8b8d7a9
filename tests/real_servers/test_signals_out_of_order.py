"""A hold and a release that a parent sends in one moment may arrive in either order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity
from temporalio.common import RawValue
from temporalio.worker import Worker

from postwerk.contracts.orders import BatchOrder, Counts, DeliveryInput, HoldSignal
from tests.support.worker import local_server
from workflows.registered import WORKFLOWS

BATCH = BatchOrder(
    bulk_id="bulk_x", number=1, lane="one.example", first_seq=1, last_seq=1, messages=1, round=0
)


@activity.defn(name="send_batch")
async def sends_for_ever(_order: RawValue) -> Counts:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("heard", "state"),
    [
        ([("hold", 1), ("release", 2)], "running"),
        ([("release", 2), ("hold", 1)], "running"),  # once it was held for ever
        ([("release", 2), ("hold", 3)], "held"),
        ([("hold", 3), ("release", 2)], "held"),
        ([("hold", 3), ("release", 0)], "running"),  # a person's word has no number
    ],
)
async def test_the_later_of_two_words_counts(heard: list[tuple[str, int]], state: str) -> None:
    order = DeliveryInput(batch=BATCH, deadline=datetime.now(UTC) + timedelta(hours=1))
    async with (
        local_server() as environment,
        Worker(environment.client, task_queue="q", workflows=WORKFLOWS, activities=[sends_for_ever]),
    ):
        handle = await environment.client.start_workflow("Delivery", order, id="x", task_queue="q")
        for name, number in heard:
            await handle.signal(name, HoldSignal(number=number))
        assert (await handle.query("progress"))["state"] == state
        await handle.terminate()
