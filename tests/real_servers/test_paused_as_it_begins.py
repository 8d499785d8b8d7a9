"""A pause and a resume while a bulk send's beginning is being recorded: the later word counts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity
from temporalio.common import RawValue
from temporalio.worker import Worker

from postwerk.contracts.orders import BatchOrder, BulkSendInput, Counts
from tests.support.worker import local_server, started
from workflows.registered import WORKFLOWS

BATCH = BatchOrder(
    bulk_id="bulk_x", number=1, lane="one.example", first_seq=1, last_seq=1, messages=1, round=0
)


async def test_the_pause_that_the_beginning_finds_is_older_than_the_resume() -> None:
    seen: list[str] = []
    is_beginning, is_released, has_looked = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @activity.defn(name="begin_bulk")
    async def begin(_order: RawValue) -> str:
        is_beginning.set()
        await is_released.wait()
        return "paused"

    @activity.defn(name="hold_bulk")
    async def hold(_order: RawValue) -> bool:
        seen.append("held")
        return True

    @activity.defn(name="release_bulk")
    async def release(_order: RawValue) -> bool:
        seen.append("released")
        is_released.set()
        return True

    @activity.defn(name="send_batch")
    async def send(_order: RawValue) -> Counts:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    @activity.defn(name="progress_of")
    async def look(_bulk_id: str) -> Counts:
        has_looked.set()
        return Counts()

    order = BulkSendInput(bulk_id="bulk_x", messages=1, deadline=timedelta(hours=1), batches=(BATCH,))
    async with (
        local_server() as environment,
        Worker(
            environment.client,
            task_queue="q",
            workflows=WORKFLOWS,
            activities=[begin, hold, release, send, look],
        ),
    ):
        handle = await started(environment.client, order, "q")
        await is_beginning.wait()
        await handle.signal("hold")
        await handle.signal("release")
        await has_looked.wait()  # two seconds after it has begun
        assert (await handle.query("progress"))["state"] == "running"
        await handle.terminate()
    assert seen == ["held", "released"]
