"""Suspended destinations: mail waits at no cost, goes when the suspension ends, and deadlines go on."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from activities import lane_desk
from postwerk.archive import suspensions
from postwerk.archive.audit import Actor
from postwerk.archive.engine import Archive
from postwerk.archive.suspensions import Suspension
from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.states import MessageState
from postwerk.rules.suspending import SuspensionKind
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
from tests.support.worker import carried, skipping_server, started, working
from workflows.names import delivery_workflow_id

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ONE_DATABASE = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)


async def suspend(
    archive: Archive, environment: WorkflowEnvironment, name: str, duration: timedelta, kind: str = "domain"
) -> Suspension:
    now = await environment.get_current_time()
    async with archive.writing() as connection:
        return await suspensions.suspend(
            connection,
            SuspensionKind(kind),
            name,
            until=now + duration,
            reason="trial",
            actor=Actor(),
            now=now,
        )


async def runs_of_batch(environment: WorkflowEnvironment, bulk_id: str) -> int:
    """How often the batch was looked at so far."""
    batch = environment.client.get_workflow_handle(delivery_workflow_id(bulk_id, 1))
    description = await batch.describe()
    return int(description.raw_description.pending_activities[0].attempt)


async def first_attempt(archive: Archive, bulk_id: str, seq: int = 1) -> datetime:
    [moment] = await moments_of(archive, bulk_id, seq)
    return moment


@pytest.mark.parametrize(
    ("name", "kind", "waits", "goes"),
    [
        ("a.example", "domain", "x@a.example", "x@b.example"),
        ("a.example", "provider", "x@a.example", "x@b.example"),
        ("googlemail.com", "domain", "x@googlemail.com", "x@gmail.com"),
    ],
)
async def test_a_domain_waits_for_the_end_while_others_of_its_batch_go(
    archive: Archive, name: str, kind: str, waits: str, goes: str
) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        made = await suspend(archive, environment, name, HOUR, kind)
        order = await a_stored_bulk_send(archive, [waits, goes], recipients_per_child=10)
        handle = await started(environment.client, order, queue)
        await environment.sleep(HOUR / 2)
        message = await message_of(archive, order.bulk_id)
        assert (message.state, message.attempts, message.last_reason) == (MessageState.QUEUED, 0, None)
        assert (await message_of(archive, order.bulk_id, 2)).state is MessageState.DELIVERED
        assert await runs_of_batch(environment, order.bulk_id) <= 3
        await handle.result()

    assert is_exactly(await first_attempt(archive, order.bulk_id) - made.until, timedelta())
    message = await message_of(archive, order.bulk_id)
    assert (message.state, message.attempts, message.deferrals) == (MessageState.DELIVERED, 1, 0)


async def test_a_provider_rests_with_all_of_its_domains_until_the_end(archive: Archive) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        made = await suspend(archive, environment, "gmail.com", 2 * DAY, "provider")
        growth = Growth()
        order = await a_stored_bulk_send(archive, ["x@gmail.com", "x@googlemail.com", "x@gmx.de"])
        handle = await started(environment.client, order, queue)
        await environment.sleep(DAY)
        assert (await message_of(archive, order.bulk_id, 3)).state is MessageState.DELIVERED
        assert growth.of("postwerk_delayed_due_to_suspension_total", provider="gmail.com") >= 2
        assert await runs_of_batch(environment, order.bulk_id) <= 3
        await handle.result()

    for seq in (1, 2):
        assert is_exactly(await first_attempt(archive, order.bulk_id, seq) - made.until, timedelta())


@ONE_DATABASE
async def test_every_domain_of_a_lane_suspended_by_itself_comes_back_by_itself(archive: Archive) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        made = [
            await suspend(archive, environment, "gmail.com", HOUR),
            await suspend(archive, environment, "googlemail.com", 3 * HOUR),
        ]
        order = await a_stored_bulk_send(
            archive, ["x@gmail.com", "x@googlemail.com"], recipients_per_child=10
        )
        handle = await started(environment.client, order, queue)
        await environment.sleep(2 * HOUR)
        assert await runs_of_batch(environment, order.bulk_id) <= 5
        await handle.result()

    for seq, one in enumerate(made, start=1):
        assert is_exactly(await first_attempt(archive, order.bulk_id, seq) - one.until, timedelta())


@ONE_DATABASE
@pytest.mark.parametrize("first_ended", ["itself", "hand"])
async def test_of_two_that_overlap_the_last_to_end_counts(archive: Archive, first_ended: str) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        longer = await suspend(archive, environment, "gmail.com", 2 * HOUR, "provider")
        shorter = await suspend(archive, environment, "googlemail.com", HOUR)
        order = await a_stored_bulk_send(archive, ["x@googlemail.com"])
        handle = await started(environment.client, order, queue)
        if first_ended == "hand":
            await environment.sleep(HOUR / 2)
            now = await environment.get_current_time()
            async with archive.writing() as connection:
                await suspensions.end_suspension(connection, shorter.id, Actor(), now)
            await handle.signal("look_again")
        await handle.result()

    assert is_exactly(await first_attempt(archive, order.bulk_id) - longer.until, timedelta())


@ONE_DATABASE
async def test_retry_now_ends_no_suspension(archive: Archive) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        made = await suspend(archive, environment, "gmail.com", 2 * HOUR, "provider")
        tiny = await suspend(archive, environment, "tiny.example", 2 * HOUR)
        order = await a_stored_bulk_send(archive, ["x@gmail.com", "x@tiny.example"])
        handle = await started(environment.client, order, queue)
        await environment.sleep(HOUR)
        await handle.signal("retry_now")
        await handle.result()

    assert is_exactly(await first_attempt(archive, order.bulk_id, 1) - made.until, timedelta())
    assert is_exactly(await first_attempt(archive, order.bulk_id, 2) - tiny.until, timedelta())


@ONE_DATABASE
@pytest.mark.parametrize(
    ("name", "kind"), [("a.example", "domain"), ("gmail.com", "domain"), ("gmail.com", "provider")]
)
async def test_what_is_suspended_at_its_deadline_expires_untried(
    archive: Archive, name: str, kind: str
) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        await suspend(archive, environment, name, 2 * DAY, kind)
        order = await a_stored_bulk_send(archive, [f"x@{name}"], deadline=HOUR)
        counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 1}
    send, message = await send_of(archive, order.bulk_id), await message_of(archive, order.bulk_id)
    assert send.finished_at is not None
    late = send.finished_at - await deadline_of(archive, order.bulk_id)
    assert timedelta(seconds=-5) - CLOCK_STEP <= late <= SLACK
    assert (message.attempts, message.deferrals) == (0, 0)


@ONE_DATABASE
async def test_a_deferred_message_keeps_its_state_and_goes_at_the_end(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_desk, "FRESH_SECONDS", 0.0)  # half an hour passes in less than a second here
    schedule = RetrySchedule(initial=5 * MINUTE, jitter=0)
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        sandbox.set_domain("a.example", answer="450 4.2.0 Greylisted, try again later")
        order = await a_stored_bulk_send(archive, ["x@a.example"], retry=schedule)
        handle = await started(environment.client, order, queue)
        await environment.sleep(MINUTE)
        made = await suspend(archive, environment, "a.example", HOUR)
        await environment.sleep(HOUR / 2)
        message = await message_of(archive, order.bulk_id)
        assert (message.state, message.attempts, message.deferrals) == (MessageState.DEFERRED, 1, 1)
        sandbox.clear_domain()
        await handle.result()

    moments = await moments_of(archive, order.bulk_id)
    assert [is_exactly(at - made.until, timedelta()) for at in moments[1:]] == [True]
