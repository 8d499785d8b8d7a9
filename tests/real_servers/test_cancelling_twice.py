"""A cancel that reaches the root workflow twice, by Temporal and the archive: its children are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue
from temporalio.worker import Worker

from postwerk.contracts.orders import BatchOrder, BulkSendInput, Counts, HoldSignal, Plan
from tests.support.worker import local_server, started
from workflows.registered import WORKFLOWS

LONG_ENOUGH = 1.0
"""Seconds in which a root that does not wait would have closed the send."""


class Story:
    """Activities that note what happens in which order."""

    def __init__(self, *, twice: bool) -> None:
        self._twice = twice
        self.seen: list[str] = []
        self.is_sending, self.is_cancelled, self.is_closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @activity.defn(name="begin_bulk")
    async def begin(self, _order: RawValue) -> str:
        """It hears of the cancel from the archive, when the word of Temporal has come down to the batch."""
        if not self._twice:
            return "running"
        await self.is_cancelled.wait()
        return "cancelling"

    @activity.defn(name="cancel_bulk")
    async def cancel(self, _order: RawValue) -> bool:
        return True

    @activity.defn(name="send_batch")
    async def send(self, _order: RawValue) -> Counts:
        """A transaction that is under way comes to its end."""
        self.is_sending.set()
        with suppress(asyncio.CancelledError):
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.05)
        self.is_cancelled.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.is_closed.wait(), LONG_ENOUGH)
        self.seen.append("sent")
        return Counts()

    @activity.defn(name="plan_bulk")
    async def plan(self, _order: RawValue) -> Plan:
        return Plan(batches=2, messages=2)

    @activity.defn(name="batches_of")
    async def batches(self, _order: RawValue) -> list[BatchOrder]:
        return [a_batch(2)]

    @activity.defn(name="close_cancelled")
    async def close(self, _order: RawValue) -> Counts:
        self.seen.append("closed")
        self.is_closed.set()
        return Counts(is_closed=True)

    @property
    def activities(self) -> list[Any]:
        return [self.begin, self.cancel, self.send, self.plan, self.batches, self.close]


def a_batch(number: int) -> BatchOrder:
    return BatchOrder(
        bulk_id="bulk_x",
        number=number,
        lane="one.example",
        first_seq=number,
        last_seq=number,
        messages=1,
        round=number - 1,
    )


@asynccontextmanager
async def cancelled(story: Story) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    """A root that was cancelled while its batch was sent, and that ends before this does."""
    order = BulkSendInput(bulk_id="bulk_x", messages=1, deadline=timedelta(hours=1), batches=(a_batch(1),))
    async with (
        local_server() as environment,
        Worker(
            environment.client,
            task_queue="cancelling",
            workflows=WORKFLOWS,
            activities=story.activities,
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
            default_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
    ):
        handle = await started(environment.client, order, "cancelling")
        await story.is_sending.wait()
        await handle.cancel()
        yield handle
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), 20)


async def test_a_send_is_closed_only_when_its_last_transaction_has_ended() -> None:
    story = Story(twice=True)
    async with cancelled(story):
        pass
    assert story.seen == ["sent", "closed"]


async def test_what_was_started_again_just_before_a_cancel_is_not_carried_after_it() -> None:
    """The word of it came when the children had been cancelled: the one it made ran for ever."""
    story = Story(twice=False)
    async with cancelled(story) as handle:
        await story.is_cancelled.wait()
        await handle.signal("carry_more", HoldSignal())
    assert story.seen == ["sent", "closed"]
