"""A relay that is away, and settings that it refuses: what it costs, who knocks, and how it ends."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from activities.parts import SendPermission
from postwerk.archive.engine import Archive
from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.orders import Counts
from postwerk.contracts.states import BulkState, MessageState
from tests.support.attempts import SLACK, attempts_of, deadline_of, is_exactly, moments_of, send_of
from tests.support.front import CLOSES, front_of
from tests.support.metrics import Growth
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import another_client, skipping_server, started, working
from workflows.names import delivery_workflow_id

pytestmark = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BUSY = b"421 4.3.2 Service not available, closing transmission channel\r\n"


@pytest.mark.parametrize(
    ("saying", "batches", "workers"), [(CLOSES, 3, 1), (BUSY, 3, 1), (CLOSES, 50, 2)], ids=str
)
async def test_an_hours_outage_costs_nobody_an_attempt_and_is_probed_by_one(
    archive: Archive, saying: bytes, batches: int, workers: int
) -> None:
    addresses = [f"ok+{n}@example.com" for n in range(batches)]
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        front_of(environment, sandbox.smtp_port) as (front, relay_url),
        AsyncExitStack() as stack,
    ):
        order = await a_stored_bulk_send(archive, addresses)
        for _ in range(workers):
            queue = await stack.enter_async_context(
                working(await another_client(environment), archive, relay_url, task_queue="shared")
            )
        front.shut(saying)
        growth = Growth()
        handle = await started(environment.client, order, queue)
        await environment.sleep(HOUR)
        assert growth.of("postwerk_delayed_due_to_relay_total", provider="other") >= batches
        assert growth.of("postwerk_connection_failures_total", relay="default") >= 16
        front.open()
        await handle.result()

    send = await send_of(archive, order.bulk_id)
    assert send.counts[MessageState.DELIVERED] == batches
    tried = [len(await attempts_of(archive, order.bulk_id, seq + 1)) for seq in range(batches)]
    assert tried == [1] * batches  # and no row for the outage

    first = front.refused[0]  # together with those who came at the same moment
    assert sum(at < first + 4 * SECOND for at in front.refused) <= min(batches, workers * 20)
    probes = [first, *(at for at in front.refused if at >= first + 4 * SECOND), front.let_in[0]]
    gaps = [later - earlier for earlier, later in pairwise(probes)]
    planned = [5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND, *[5 * MINUTE] * 12]
    assert len(gaps) == len(planned)  # the twelfth after 75 seconds and an hour, when it was open
    assert abs(gaps[0] - planned[0]) < SLACK  # whose failure was recorded first is not known here
    assert all(map(is_exactly, gaps[1:], planned[1:])), gaps
    assert send.finished_at is not None
    assert send.finished_at <= front.let_in[0] + 60 * SECOND + SLACK


async def test_what_came_while_it_was_away_waits_with_the_others(archive: Archive) -> None:
    """A send that begins in the middle of an outage does not probe by itself, and ends with the others."""
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        front_of(environment, sandbox.smtp_port) as (front, relay_url),
        working(environment.client, archive, relay_url) as queue,
    ):
        front.shut()
        early = await started(environment.client, await a_stored_bulk_send(archive, ["ok@a.example"]), queue)
        await environment.sleep(20 * MINUTE)
        knocks = len(front.refused)
        late = await started(environment.client, await a_stored_bulk_send(archive, ["ok@b.example"]), queue)
        await environment.sleep(MINUTE)
        assert len(front.refused) == knocks
        front.open()
        for handle in (early, late):
            counts = Counts.model_validate(await handle.result())
            assert counts.states == {MessageState.DELIVERED: 1}
    assert front.let_in[0] <= front.refused[-1] + 5 * MINUTE + SLACK


async def test_a_send_whose_sender_is_refused_is_paused_for_days_and_goes_on_when_released(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten seconds by the real clock, in which here weeks may pass.
    monkeypatch.setattr(SendPermission, "DENIED_SECONDS", 0.1)
    # One recipient, refused a minute apart: here a hold may hang that meets many at work.
    schedule, growth = RetrySchedule(waits=(MINUTE,), jitter=0.0), Growth()
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        sandbox.set_domain("*", stage="mail", answer="550 5.7.1 Sender address rejected")
        order = await a_stored_bulk_send(archive, ["ok@example.com"], retry=schedule)
        handle = await started(environment.client, order, queue)
        await environment.sleep(10 * MINUTE)
        paused = await send_of(archive, order.bulk_id)
        paused_at = max(await moments_of(archive, order.bulk_id))
        refusals = len(sandbox.attempts())
        await environment.sleep(timedelta(days=20))
        still = await send_of(archive, order.bulk_id)
        assert len(sandbox.attempts()) == refusals
        sandbox.clear_domain()
        released_at = await environment.get_current_time()
        await handle.signal("release")
        counts = Counts.model_validate(await handle.result())
        child = environment.client.get_workflow_handle(delivery_workflow_id(order.bulk_id, 1))
        deadline_of_batch = datetime.fromisoformat((await child.query("progress"))["deadline"])

    assert paused.state is still.state is BulkState.PAUSED
    assert paused.reason.startswith("paused by itself: 10 times in a row")
    assert growth.of("postwerk_bulk_sends_paused_total") == 1
    assert refusals == 10
    assert still.counts[MessageState.EXPIRED] == still.counts[MessageState.BOUNCED] == 0
    assert counts.states == {MessageState.DELIVERED: 1}
    assert paused.deadline is not None
    moved = await deadline_of(archive, order.bulk_id) - paused.deadline
    assert abs(moved - (released_at - paused_at)) < SLACK
    assert abs(deadline_of_batch - await deadline_of(archive, order.bulk_id)) < SLACK
    ended = await send_of(archive, order.bulk_id)
    assert ended.finished_at is not None
    assert ended.finished_at - released_at < 15 * SECOND
