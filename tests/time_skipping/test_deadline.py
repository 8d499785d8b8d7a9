"""Five days in seconds: the retry schedule and the deadline, with everything real but the time."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.states import BulkState, MessageState
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import carried, skipping_server, started, working

FIVE_DAYS = timedelta(days=5)


async def test_a_recipient_that_is_always_refused_for_now_expires_after_five_days(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["defer+x@example.com"])
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 1}
    async with archive.reading() as connection:
        message = await reads.message(connection, order.bulk_id, 1)
        attempts = await reads.attempts(connection, order.bulk_id, 1)
        accounts = await reads.accounting(connection, order.bulk_id)
    assert accounts["adds_up"], accounts
    assert (message.state, message.last_code) == (MessageState.EXPIRED, 451)
    moments = [attempt.started_at for attempt in attempts]
    waits = [later - earlier for earlier, later in pairwise(moments)]
    # 5, 10, 20, 40, 80, 160 minutes, then every 3 hours, each +-20 %: about 45 in five days.
    assert 40 <= len(attempts) <= 52
    for wait, minutes in zip(waits, (5, 10, 20, 40, 80, 160), strict=False):
        assert timedelta(minutes=minutes * 0.8) <= wait <= timedelta(minutes=minutes * 1.2 + 1)
    assert all(wait <= timedelta(hours=3.6, minutes=1) for wait in waits)
    # The last attempt is made just before the deadline, not hours before.
    assert FIVE_DAYS - timedelta(minutes=1) < moments[-1] - moments[0] <= FIVE_DAYS


async def test_held_time_does_not_count(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["defer+x@example.com"])
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                handle = await started(environment.client, order, queue)
                await environment.sleep(timedelta(days=1))
                await handle.signal("hold", {"reason": "a look at it"})
                await environment.sleep(timedelta(minutes=1))
                before = await _attempts(archive, order.bulk_id)
                await environment.sleep(timedelta(days=10))
                assert await _attempts(archive, order.bulk_id) == before  # nothing was sent while held
                assert (await handle.query("progress"))["state"] == BulkState.PAUSED
                await handle.signal("release")
                await handle.result()

    moments = await _attempts(archive, order.bulk_id)
    lived = moments[-1] - moments[0]
    assert timedelta(days=15) - timedelta(minutes=2) < lived < timedelta(days=15) + timedelta(minutes=2)
    async with archive.reading() as connection:
        send = await reads.bulk_send(connection, order.bulk_id)
        message = await reads.message(connection, order.bulk_id, 1)
    assert message.state is MessageState.EXPIRED
    assert send.deadline is not None
    assert abs(send.deadline - moments[-1]) < timedelta(minutes=2)


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

    first, second = await _attempts(archive, order.bulk_id)
    assert second - first < timedelta(minutes=10)


async def test_no_connection_costs_nobody_an_attempt(archive: Archive) -> None:
    async with skipping_server() as environment:
        order = await a_stored_bulk_send(archive, [f"ok+{n}@example.com" for n in range(3)])
        async with working(environment.client, archive, "smtp://127.0.0.1:1") as queue:
            counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 3}
    async with archive.reading() as connection:
        message = await reads.message(connection, order.bulk_id, 1)
    assert (message.attempts, message.last_stage) == (0, "connect")
    assert message.last_text


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


async def _attempts(archive: Archive, bulk_id: str) -> list:
    async with archive.reading() as connection:
        return [attempt.started_at for attempt in await reads.attempts(connection, bulk_id, 1)]
