"""When a message that was not taken is tried again: to the second, by the attempts in the archive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest

from postwerk.archive import lanes
from postwerk.archive.engine import Archive
from postwerk.contracts.options import RETRY_PRESETS, RetrySchedule
from postwerk.contracts.states import MessageState
from tests.support.attempts import SLACK, deadline_of, is_exactly, message_of, moments_of, waits_of
from tests.support.sandbox import SandboxProcess
from tests.support.scripted_server import ScriptedServer
from tests.support.seeding import a_stored_bulk_send
from tests.support.worker import carried, skipping_server, working

pytestmark = pytest.mark.parametrize("archive", ["sqlite"], indirect=True)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LAST_CALL = timedelta(seconds=5)
OWN = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)
WAYS = {
    # 5 min x2, at most 3 h
    "bulk": (RETRY_PRESETS["bulk"], [n * MINUTE for n in (5, 10, 20, 40, 80, 160, 180)]),
    # 300 s x2, at most 4000 s
    "postfix": (RETRY_PRESETS["postfix"], [timedelta(seconds=n) for n in (300, 600, 1200, 2400, 4000)]),
    # one's own; the last repeats
    "waits": (RetrySchedule(waits=OWN), list(OWN)),
}


@pytest.mark.parametrize("way", WAYS)
async def test_without_spread_each_wait_is_the_schedules_own(archive: Archive, way: str) -> None:
    """`full` counts as the recipient's fault, `defer` (451 4.7.1) does not: the waits are the same."""
    schedule, planned = WAYS[way]
    exact = schedule.model_copy(update={"jitter": 0.0})
    days = timedelta(days=5 if way == "bulk" else 2)
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            addresses = ["full@a.example", "defer@b.example"]
            order = await a_stored_bulk_send(archive, addresses, retry=exact, deadline=days)
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 2}
    for seq in (1, 2):
        *waits, _last = await waits_of(archive, order.bulk_id, seq)
        assert len(waits) > 20
        assert not [
            (n, *pair)
            for n, pair in enumerate(zip(waits, forever(planned), strict=False))
            if not is_exactly(*pair)
        ]
        moments = await moments_of(archive, order.bulk_id, seq)
        assert is_exactly(moments[-1] - await deadline_of(archive, order.bulk_id), -LAST_CALL)
    deferrals = [(await message_of(archive, order.bulk_id, seq)).deferrals for seq in (1, 2)]
    assert deferrals == [len(await waits_of(archive, order.bulk_id)) + 1, 0]


def forever(planned: list[timedelta]) -> Iterator[timedelta]:
    return chain(planned, repeat(planned[-1]))


async def test_the_spread_is_twenty_percent_each_way(archive: Archive) -> None:
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            order = await a_stored_bulk_send(archive, ["full@a.example"])
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                await carried(environment.client, order, queue)

    *waits, _last = await waits_of(archive, order.bulk_id)
    shares = [wait / planned for wait, planned in zip(waits, forever(WAYS["bulk"][1]), strict=False)]
    assert all(0.799 <= share <= 1.21 for share in shares), shares
    assert max(shares) - min(shares) > 0.2
    assert len({round(share, 3) for share in shares}) > 20


async def test_a_server_that_says_when_is_asked_ten_seconds_later(archive: Archive, tmp_path: Path) -> None:
    minutes = {"rcpt": ["450 4.2.0 Mailbox busy, try again in 10 minutes", "250 2.1.5 ok"]}
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox, ScriptedServer(tmp_path, minutes) as scripted:
            asked = await a_stored_bulk_send(archive, ["hint7@a.example", "hint4000@b.example"])
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                await carried(environment.client, asked, queue)
            spoken = await a_stored_bulk_send(archive, ["anna@a.example"])
            async with working(environment.client, archive, scripted.relay_url) as queue:
                await carried(environment.client, spoken, queue)

    for send, seq, seconds in ((asked, 1, 17), (asked, 2, 4010), (spoken, 1, 610)):
        (wait,) = await waits_of(archive, send.bulk_id, seq)
        assert is_exactly(wait, timedelta(seconds=seconds))


async def test_a_server_that_says_soon_for_ever_is_taken_at_its_word_three_times(
    archive: Archive, tmp_path: Path
) -> None:
    """Else "try again in 1 second" would make it 40,000 attempts in five days."""
    soon = {"rcpt": "451 4.3.0 Busy, try again in 1 second"}
    schedule = RetrySchedule(jitter=0.0)
    async with skipping_server() as environment:
        with ScriptedServer(tmp_path, soon) as server:
            order = await a_stored_bulk_send(
                archive, ["anna@a.example"], retry=schedule, deadline=timedelta(hours=12)
            )
            async with working(environment.client, archive, server.relay_url) as queue:
                await carried(environment.client, order, queue)

    waits = await waits_of(archive, order.bulk_id)
    planned = [timedelta(seconds=11)] * 3 + [minutes * MINUTE for minutes in (40, 80, 160, 180)]
    assert [is_exactly(*pair) for pair in zip(waits, planned, strict=False)] == [True] * 7


async def test_a_greylisted_message_comes_back_soon_after_five_minutes_three_times(
    archive: Archive, tmp_path: Path
) -> None:
    greylisting = {"rcpt": "450 4.2.0 Greylisted, see http://postgrey.example/"}
    addresses = [f"anna{n}@a.example" for n in range(5)]
    async with skipping_server() as environment:
        with ScriptedServer(tmp_path, greylisting) as server:
            order = await a_stored_bulk_send(archive, addresses, deadline=timedelta(hours=6))
            async with working(environment.client, archive, server.relay_url) as queue:
                await carried(environment.client, order, queue)

    first = []
    for seq in range(1, 6):
        waits = await waits_of(archive, order.bulk_id, seq)
        assert all(5 * MINUTE <= wait <= 6 * MINUTE + SLACK for wait in waits[:3]), waits
        for wait, minutes in zip(waits[3:5], (40, 80), strict=True):
            assert 0.8 * minutes * MINUTE <= wait <= 1.2 * minutes * MINUTE + SLACK
        first.append(waits[0])
    assert max(first) - min(first) > timedelta(seconds=2)  # they do not all come back together


async def test_greylisting_that_ends_after_five_minutes_costs_one_more_attempt(
    archive: Archive, tmp_path: Path
) -> None:
    once = {"rcpt": ["450 4.2.0 Greylisted for 300 seconds", "250 2.1.5 ok"]}
    async with skipping_server() as environment:
        with ScriptedServer(tmp_path, once) as server:
            order = await a_stored_bulk_send(archive, ["anna@a.example"])
            async with working(environment.client, archive, server.relay_url) as queue:
                counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.DELIVERED: 1}
    (wait,) = await waits_of(archive, order.bulk_id)
    assert is_exactly(wait, 5 * MINUTE + timedelta(seconds=10))


async def test_one_who_is_always_answered_421_follows_the_schedule_and_slows_nobody(archive: Archive) -> None:
    addresses = ["sad@googlemail.com", *(f"ok+{n}@gmail.com" for n in range(12))]
    async with skipping_server() as environment:
        with SandboxProcess() as sandbox:
            sandbox.set_domain("googlemail.com", preset="busy")
            order = await a_stored_bulk_send(archive, addresses, retry=RetrySchedule(jitter=0.0))
            async with working(environment.client, archive, sandbox.relay_url) as queue:
                counts = await carried(environment.client, order, queue)

    assert counts.states == {MessageState.EXPIRED: 1, MessageState.DELIVERED: 12}
    *waits, _last = await waits_of(archive, order.bulk_id)
    assert len(waits) > 40
    assert all(map(is_exactly, waits, forever(WAYS["bulk"][1])))
    assert (await message_of(archive, order.bulk_id)).deferrals == 0
    async with archive.reading() as connection:
        assert not [lane for lane in await lanes.all_lane_states(connection, "default") if lane.last_refusal]
