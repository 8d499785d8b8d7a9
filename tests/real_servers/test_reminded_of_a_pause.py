"""A root that is reminded of a pause asks the archive: the pause may be over by then."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.common import RawValue
from temporalio.worker import Worker

from postwerk.contracts.orders import BatchOrder, BulkSendInput, Counts, HoldSignal
from tests.support.worker import local_server, started
from workflows.registered import WORKFLOWS

BATCH = BatchOrder(
    bulk_id="bulk_x", number=1, lane="one.example", first_seq=1, last_seq=1, messages=1, round=0
)


@pytest.mark.parametrize("paused", [True, False])
async def test_a_reminder_that_comes_behind_the_resume_is_not_obeyed(paused: bool) -> None:
    """It once held a send for ever, that an operator had resumed a moment before."""
    seen: list[str] = []
    is_sending = asyncio.Event()

    @activity.defn(name="begin_bulk")
    async def begin(_order: RawValue) -> str:
        return "running"

    @activity.defn(name="is_paused")
    async def is_paused(_order: RawValue) -> bool:
        seen.append("asked")
        return paused

    @activity.defn(name="hold_bulk")
    async def hold(_order: RawValue) -> bool:
        seen.append("held")
        return True

    @activity.defn(name="send_batch")
    async def send(_order: RawValue) -> Counts:
        is_sending.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    order = BulkSendInput(bulk_id="bulk_x", messages=1, deadline=timedelta(hours=1), batches=(BATCH,))
    activities = [begin, is_paused, hold, send]
    async with (
        local_server() as environment,
        Worker(environment.client, task_queue="q", workflows=WORKFLOWS, activities=activities),
    ):
        handle = await started(environment.client, order, "q")
        await is_sending.wait()
        await handle.signal("hold", HoldSignal(reason="paused", if_paused=True))
        async with asyncio.timeout(20):
            while seen != (["asked", "held"] if paused else ["asked"]):
                await asyncio.sleep(0.05)
        assert (await handle.query("progress"))["state"] == ("paused" if paused else "running")
        await handle.terminate()
