"""Five days in seconds: what is open at the deadline expires then, to the second; held time is no time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from activities.parts import SendPermission
from postwerk.archive import bulks, reads
from postwerk.archive.engine import Archive
from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.orders import BulkSendInput
from postwerk.contracts.states import BulkState, MessageState
from tests.support.attempts import (
    CLOCK_STEP,
    SLACK,
    deadline_of,
    is_exactly,
    message_of,
    moments_of,
    send_of,
)
from tests.support.metrics import Growth
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import carried, pass_without_workers, skipping_server, started, working
from workflows.names import bulk_workflow_id, delivery_workflow_id

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
LAST_CALL = timedelta(seconds=5)
REALLY_WAITED = timedelta(seconds=1)
"""A batch waits the last moments for its permit awake, by the real clock."""
ONE_DATABASE = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)
"""For what the archive's dialect cannot change; test_notices.py lets sends expire on both."""


async def expired_in_time(archive: Archive, order: BulkSendInput) -> reads.BulkSend:
    """The deadline is what was asked for, and what was open ended at it: neither early nor late."""
    send = await send_of(archive, order.bulk_id)
    assert send.started_at is not None
    assert send.deadline is not None
    assert send.finished_at is not None
    assert is_exactly(send.deadline - send.started_at, order.deadline - SECOND)  # begun within a second
    assert -LAST_CALL - CLOCK_STEP <= send.finished_at - send.deadline <= SLACK
    for seq in range(1, order.messages + 1):
        message = await message_of(archive, order.bulk_id, seq)
        assert message.changed_at is not None
        if message.state is MessageState.EXPIRED:
            assert -LAST_CALL - CLOCK_STEP <= message.changed_at - send.deadline <= SLACK
        else:
            assert message.state is MessageState.DELIVERED
    return send


async def events_of(client: Client, workflow_id: str) -> int:
    return len((await client.get_workflow_handle(workflow_id).fetch_history()).events)


@ONE_DATABASE
@pytest.mark.parametrize("deadline", [MINUTE, 5 * DAY, 7 * DAY], ids=str)
async def test_who_is_always_refused_for_now_expires_at_the_deadline(
    archive: Archive, deadline: timedelta
) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["defer@example.com"], deadline=deadline)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)
            root, batch = bulk_workflow_id(order.bulk_id), delivery_workflow_id(order.bulk_id, 1)
            lengths = [await events_of(environment.client, one) for one in (root, batch)]

    assert counts.states == {MessageState.EXPIRED: 1}
    assert lengths[0] < 300, "a look at the counters now and then"
    assert lengths[1] < 20, "retries leave no trace in the history of a batch"
    send = await expired_in_time(archive, order)
    async with archive.reading() as connection:
        accounts = await reads.accounting(connection, order.bulk_id)
    assert accounts["adds_up"], accounts
    message = await message_of(archive, order.bulk_id)
    assert (message.last_code, message.last_enhanced) == (451, "4.7.1")
    assert message.last_text
    # The last attempt is made just before the deadline, not hours before.
    assert send.deadline is not None
    assert is_exactly((await moments_of(archive, order.bulk_id))[-1] - send.deadline, -LAST_CALL)


FIRST_CONNECTION = timedelta(milliseconds=100)
"""The first mail comes so much behind its permit, and the others seem early beside it: theirs is open."""


@ONE_DATABASE
async def test_who_is_paced_past_the_deadline_is_sent_as_long_as_there_is_time(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One an hour, at 0:00, 1:00 and 2:00 (3:00 is past the end): seven of ten expire, at the end."""
    monkeypatch.setattr("activities.delivery.EARLY", REALLY_WAITED)
    addresses = [f"ok+{n}@example.com" for n in range(10)]
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            growth = Growth()
            order = await a_stored_bulk_send(archive, addresses, rate="1/h", deadline=3 * HOUR)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.DELIVERED: 3, MessageState.EXPIRED: 7}
    assert growth.of("postwerk_delayed_due_to_rate_total", provider="other") >= 7
    await expired_in_time(archive, order)
    sent = sorted([at for seq in range(1, 11) for at in await moments_of(archive, order.bulk_id, seq)])
    late = [at - sent[0] - n * HOUR for n, at in enumerate(sent)]
    assert all(-FIRST_CONNECTION <= by <= SLACK for by in late), late


@ONE_DATABASE
async def test_a_relay_that_never_answers_costs_nobody_an_attempt(archive: Archive) -> None:
    async with skipping_server() as environment:
        addresses = [f"ok+{n}@example.com" for n in range(3)]
        order = await a_stored_bulk_send(archive, addresses, deadline=3 * HOUR)
        async with working(environment.client, archive, "smtp://127.0.0.1:1") as queue:
            counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 3}
    await expired_in_time(archive, order)
    message = await message_of(archive, order.bulk_id)
    assert (message.attempts, message.last_stage, message.last_reason) == (0, "connect", "no_connection")
    assert message.last_text


@ONE_DATABASE
async def test_a_deadline_that_passes_without_any_worker_is_settled_by_the_next_one(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the first worker kept in its cache, this server would give to nobody else.
    monkeypatch.setattr("worker.CACHED_WORKFLOWS", 0)
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["defer@example.com"], deadline=4 * MINUTE)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                await started(environment.client, order, queue)
                await environment.sleep(MINUTE)
            await pass_without_workers(environment, 10 * MINUTE)
            refusals = len(sandbox.attempts())
            back_at = await environment.get_current_time()
            async with working(environment.client, archive, sandbox.relay_url, task_queue=queue):
                await environment.client.get_workflow_handle(delivery_workflow_id(order.bulk_id, 1)).result()
            assert len(sandbox.attempts()) == refusals

    message = await message_of(archive, order.bulk_id)
    assert message.state is MessageState.EXPIRED
    assert (message.last_code, message.attempts) == (451, 1)
    assert message.changed_at is not None
    assert back_at > await deadline_of(archive, order.bulk_id)
    assert message.changed_at - back_at <= SLACK


@ONE_DATABASE
async def test_who_was_only_told_to_wait_does_not_expire_before_the_others(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive says "paused", and the word of it has not come down the tree: it is asked every 10 s."""
    monkeypatch.setattr(SendPermission, "FRESH_SECONDS", 0.0)  # by the real clock
    often = RetrySchedule(waits=(7 * SECOND,), jitter=0.0)
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["full@a.example"], retry=often, deadline=69 * SECOND)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                await environment.sleep(20 * SECOND)
                async with archive.writing() as connection:
                    now = await environment.get_current_time()
                    assert await bulks.move_bulk(connection, order.bulk_id, BulkState.PAUSED, now=now)
                await handle.result()

    await expired_in_time(archive, order)


@pytest.mark.parametrize("why", ["deferred", "cooling", "paced"])
@ONE_DATABASE
async def test_held_time_does_not_count(archive: Archive, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten days held in the middle of two: nothing is sent meanwhile, and it ends ten days later."""
    monkeypatch.setattr("activities.delivery.EARLY", REALLY_WAITED)
    address, options = HELD[why]
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            sandbox.set_domain("gmail.com", preset="gmail-rate")
            order = await a_stored_bulk_send(archive, [address, *MORE[why]], deadline=2 * DAY, **options)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                await environment.sleep(DAY + 10 * MINUTE)
                await handle.signal("hold", {"reason": "a look at it"})
                held_at = await environment.get_current_time()
                await environment.sleep(MINUTE)
                before, planned = len(sandbox.attempts()), await deadline_of(archive, order.bulk_id)
                await environment.sleep(10 * DAY)
                assert len(sandbox.attempts()) == before
                progress = await handle.query("progress")
                assert (progress["state"], progress["reason"]) == (BulkState.PAUSED, "a look at it")
                await handle.signal("release")
                held_for = await environment.get_current_time() - held_at
                await handle.result()
                ended = await deadlines_of_batches(environment, order)

    deadline = await deadline_of(archive, order.bulk_id)
    assert abs(deadline - planned - held_for) < SECOND
    for seq, batch in enumerate(ended, 1):
        if (await message_of(archive, order.bulk_id, seq)).state is MessageState.EXPIRED:
            assert abs(batch - deadline) < SECOND
    send = await send_of(archive, order.bulk_id)
    assert send.finished_at is not None
    assert -LAST_CALL - CLOCK_STEP <= send.finished_at - deadline <= SLACK
    assert send.counts[MessageState.EXPIRED] >= 1
    assert send.counts[MessageState.BOUNCED] == 0


HELD: dict[str, tuple[str, dict[str, Any]]] = {
    "deferred": ("defer@example.com", {}),
    "cooling": ("ok@gmail.com", {}),
    "paced": ("ok@example.com", {"rate": "1/d"}),
}
MORE = {"deferred": [], "cooling": [], "paced": [f"ok+{n}@example.com" for n in range(3)]}


async def deadlines_of_batches(environment: WorkflowEnvironment, order: BulkSendInput) -> Sequence[datetime]:
    handles = [
        environment.client.get_workflow_handle(delivery_workflow_id(order.bulk_id, batch.number))
        for batch in order.batches or ()
    ]
    return [datetime.fromisoformat((await handle.query("progress"))["deadline"]) for handle in handles]


@ONE_DATABASE
async def test_retry_now_does_not_wait_for_the_schedule(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(
                archive,
                ["defer1+x@example.com"],
                retry=RetrySchedule(initial=timedelta(hours=10), maximum=timedelta(hours=10)),
            )
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                await environment.sleep(timedelta(minutes=5))
                await handle.signal("retry_now")
                await environment.sleep(timedelta(minutes=1))
                await handle.result()

    first, second = await moments_of(archive, order.bulk_id)
    assert second - first < timedelta(minutes=10)


@ONE_DATABASE
async def test_a_cancel_in_back_off_is_recorded_as_cancelled_not_as_a_bounce(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["defer+x@example.com", "ok+y@example.com"])
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                await environment.sleep(timedelta(hours=2))
                await handle.cancel()
                with pytest.raises(WorkflowFailureError):
                    await handle.result()
                assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED

    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, order.bulk_id)
        accounts = await reads.accounting(connection, order.bulk_id)
    assert accounts["adds_up"], accounts
    assert send.state is BulkState.CANCELLED
    assert send.counts[MessageState.CANCELLED] == send.counts[MessageState.DELIVERED] == 1
