"""Lanes that rest: for how long, who may go afterwards, and that resting costs nobody anything."""

from __future__ import annotations

from datetime import timedelta

import pytest

from postwerk.archive import lanes
from postwerk.archive.engine import Archive
from postwerk.contracts.options import RetrySchedule
from postwerk.contracts.states import MessageState
from tests.support.attempts import (
    SLACK,
    attempts_of,
    deadline_of,
    is_exactly,
    message_of,
    moments_of,
    send_of,
    waits_of,
)
from tests.support.metrics import Growth
from tests.support.sandbox import SandboxProcess
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import another_client, carried, skipping_server, started, working

pytestmark = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        ("421 4.7.28 Unusual rate of mail, try again in 10 minutes", 10 * MINUTE),
        ("450 4.7.1 Too many messages, slow down", MINUTE),
    ],
)
async def test_a_rate_reply_cools_the_lane_for_the_time_it_names(
    archive: Archive, answer: str, rest: timedelta
) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url) as queue,
    ):
        sandbox.set_domain("gmail.com", answer=answer)
        growth = Growth()
        order = await a_stored_bulk_send(archive, ["ok@gmail.com"])
        handle = await started(environment.client, order, queue)
        await environment.sleep(rest / 2)
        assert growth.of("postwerk_lane_cool_downs_total", provider="gmail.com", reason="rate_limited") == 1
        assert growth.of("postwerk_delayed_due_to_cool_down_total", provider="gmail.com") >= 1
        sandbox.clear_domain()
        await handle.result()

    moments = await moments_of(archive, order.bulk_id)
    assert [is_exactly(at - moments[0], rest) for at in moments[1:]] == [True]
    assert (await message_of(archive, order.bulk_id)).deferrals == 0


async def test_who_is_refused_for_ever_rests_twice_as_long_each_time_and_ends_at_the_deadline(
    archive: Archive,
) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            sandbox.set_domain("gmail.com", preset="gmail-rate")
            order = await a_stored_bulk_send(archive, ["ok@gmail.com"], deadline=timedelta(days=2))
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 1}
    waits = await waits_of(archive, order.bulk_id)
    planned = [minutes * MINUTE for minutes in (1, 2, 4, 8, 16, 32, *[60] * 200)]
    assert len(waits) > 45
    assert all(map(is_exactly, waits, planned))
    send, message = await send_of(archive, order.bulk_id), await message_of(archive, order.bulk_id)
    assert send.finished_at is not None
    assert -5 * SECOND <= send.finished_at - await deadline_of(archive, order.bulk_id) <= SLACK
    assert (message.deferrals, message.last_code, message.last_enhanced) == (0, 421, "4.7.28")


async def test_yahoos_two_hours_end_a_send_of_one_hour_at_its_deadline(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            sandbox.set_domain("yahoo.com", preset="yahoo-tss04")
            order = await a_stored_bulk_send(archive, ["ok@yahoo.com"], deadline=HOUR)
            longer = await a_stored_bulk_send(archive, ["ok@yahoo.com"], deadline=5 * HOUR)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                both = [await started(environment.client, one, queue) for one in (order, longer)]
                for handle in both:
                    await handle.result()

    moments = sorted(
        [at for one in (order, longer) for at in await moments_of(archive, one.bulk_id) if at is not None]
    )
    for one in (order, longer):
        send, message = await send_of(archive, one.bulk_id), await message_of(archive, one.bulk_id)
        assert send.finished_at is not None
        assert -5 * SECOND <= send.finished_at - await deadline_of(archive, one.bulk_id) <= SLACK
        assert message.state is MessageState.EXPIRED
    waits = [at - moments[0] for at in moments if at - moments[0] > SLACK]
    assert [is_exactly(*pair) for pair in zip(waits, (2 * HOUR, 4 * HOUR), strict=True)] == [True, True]
    assert "TSS04" in ((await message_of(archive, longer.bulk_id)).last_text or "")


async def test_ten_of_ten_who_are_answered_421_cool_the_lane_and_lose_nothing(archive: Archive) -> None:
    addresses = [f"ok+{n}@well.example" for n in range(10)]
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(environment.client, archive, sandbox.relay_url, cool_down=SECOND) as queue,
    ):
        sandbox.set_domain("well.example", preset="busy")
        order = await a_stored_bulk_send(archive, addresses, retry=RetrySchedule(jitter=0.0))
        handle = await started(environment.client, order, queue)
        await environment.sleep(MINUTE)
        async with archive.reading() as connection:
            (lane,) = [one for one in await lanes.all_lane_states(connection, "default") if one.cool_until]
        await environment.sleep(10 * MINUTE)
        sandbox.clear_domain()
        await handle.result()

    send = await send_of(archive, order.bulk_id)
    assert send.counts[MessageState.DELIVERED] == 10
    assert (lane.origin, lane.reason, lane.failures) == (lanes.EVIDENCE, "service_closing", 1)
    assert lane.cool_until is not None
    assert lane.last_refused_at is not None
    assert lane.cool_until - lane.last_refused_at == SECOND
    for seq in range(1, 11):
        assert (await message_of(archive, order.bulk_id, seq)).deferrals == 0
        assert len(await attempts_of(archive, order.bulk_id, seq)) <= 4


async def test_a_cool_down_that_one_worker_noted_holds_for_the_other(archive: Archive) -> None:
    async with (
        skipping_server() as environment,
        SandboxProcess() as sandbox,
        working(await another_client(environment), archive, sandbox.relay_url, task_queue="shared") as queue,
        working(await another_client(environment), archive, sandbox.relay_url, task_queue="shared"),
    ):
        sandbox.set_domain("gmail.com", answer="421 4.7.28 Unusual rate, try again in 30 minutes")
        first = await a_stored_bulk_send(archive, ["ok@gmail.com"])
        await started(environment.client, first, queue)
        await environment.sleep(10 * SECOND)
        sandbox.clear_domain()
        for _ in range(12):
            order = await a_stored_bulk_send(archive, ["ok@gmail.com"])
            await started(environment.client, order, queue)
        await environment.sleep(29 * MINUTE)
        assert len(sandbox.attempts()) == 1
