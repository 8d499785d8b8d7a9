"""What all workers remember of a lane: cool-downs, recovery, probes, an operator's limits, permits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from postwerk.archive import lanes, pace
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import Refusal
from postwerk.rules.cooling import Cooling
from postwerk.rules.pace import SECOND, Limit, Rate
from postwerk.rules.providers import LaneLimits

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
R, GMAIL = "smtp://relay:25", "gmail.com"
TOO_FAST = Refusal("421 4.7.28 unusual rate", "rate_limited")
COOLING = Cooling()


async def test_only_the_first_of_many_who_hear_it_cools_the_lane(archive: Archive) -> None:
    async with archive.writing() as connection:
        states = [
            await lanes.rate_refused(connection, R, GMAIL, TOO_FAST, COOLING, NOW + timedelta(seconds=n))
            for n in range(3)
        ]
    assert {state.cool_until for state in states} == {NOW + timedelta(minutes=1)}
    assert states[-1].failures == 1
    assert (states[-1].reason, states[-1].last_refusal) == ("rate_limited", "421 4.7.28 unusual rate")


async def test_who_is_still_refused_after_it_rests_twice_as_long(archive: Archive) -> None:
    now, rests = NOW, []
    async with archive.writing() as connection:
        for _ in range(8):
            state = await lanes.rate_refused(connection, R, GMAIL, TOO_FAST, COOLING, now)
            assert state.cool_until is not None
            rests.append((state.cool_until - now).total_seconds() / 60)
            now = state.cool_until
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_the_reply_itself_may_name_the_time(archive: Archive) -> None:
    async with archive.writing() as connection:
        own = await lanes.rate_refused(
            connection, R, "yahoo.com", Refusal("421", "rate_limited", timedelta(hours=2)), COOLING, NOW
        )
        hint = await lanes.rate_refused(
            connection, R, GMAIL, Refusal("421", "rate_limited", hint=timedelta(minutes=7)), COOLING, NOW
        )
        bounded = await lanes.rate_refused(
            connection, R, "gmx.net", Refusal("421", "rate_limited", timedelta(days=9)), COOLING, NOW
        )
    assert own.cool_until == NOW + timedelta(hours=2)
    assert hint.cool_until == NOW + timedelta(minutes=7)
    assert bounded.cool_until == NOW + COOLING.longest


async def test_it_comes_back_step_by_step(archive: Archive) -> None:
    intervals = []
    async with archive.writing() as connection:
        state = await lanes.rate_refused(connection, R, GMAIL, TOO_FAST, COOLING, NOW)
        early = await lanes.went_through(connection, R, GMAIL, NOW)  # on its way when the lane cooled down
        assert early == state
        now = NOW + timedelta(minutes=1)
        while state.slow_interval is not None:
            intervals.append(state.slow_interval / SECOND)
            state = await lanes.went_through(connection, R, GMAIL, now)
    assert intervals[:4] == [10, 5, 2.5, 1.25]
    assert len(intervals) <= 12
    assert (state.failures, state.reason) == (0, "")


async def test_a_relay_without_sessions_is_tried_by_one_only(archive: Archive) -> None:
    refused = Refusal("connection refused", "no_connection")
    now, waits = NOW, []
    async with archive.writing() as connection:
        assert await lanes.claim_probe(connection, R, now, now + timedelta(minutes=1))  # nothing is wrong
        for _ in range(7):
            state = await lanes.session_failed(connection, R, refused, COOLING, now, our_fault=False)
            assert state.cool_until is not None
            waits.append((state.cool_until - now).total_seconds())
            now = state.cool_until
        claims = [await lanes.claim_probe(connection, R, now, now + timedelta(minutes=1)) for _ in range(3)]
        hanging = now + timedelta(minutes=1)
        next_one = await lanes.claim_probe(connection, R, hanging, hanging + timedelta(minutes=1))
        await lanes.session_restored(connection, R)
        everyone = [await lanes.claim_probe(connection, R, hanging, hanging) for _ in range(2)]
    assert waits == [5, 10, 20, 40, 300, 300, 300]
    assert claims == [True, False, False]
    assert next_one
    assert everyone == [True, True]


async def test_an_operators_limits_have_a_reason_and_an_end(archive: Archive) -> None:
    wanted = LaneLimits(3, 10, Rate.parse("30/min"))
    end = NOW + timedelta(hours=1)
    async with archive.writing() as connection:
        await lanes.set_limits(connection, R, GMAIL, wanted, by="ada", reason="trial", now=NOW, until=end)
    async with archive.reading() as connection:
        state = (await lanes.lane_states(connection, R, [GMAIL, "gmx.net"]))[GMAIL]
        assert [one.name for one in await lanes.all_lane_states(connection, R)] == [GMAIL]
    assert (state.set_by, state.set_reason, state.set_until) == ("ada", "trial", end)
    assert state.in_force(NOW) == wanted
    assert state.in_force(end) == LaneLimits()


async def test_permits_of_all_who_ask_keep_one_rate(archive: Archive) -> None:
    limit = Limit.of("lane:x", Rate.parse("30/min"))
    start = to_microseconds(NOW)
    slots: list[int] = []
    async with archive.writing() as connection:
        for second in range(60):
            block = await pace.lease_block(connection, [limit], start + second * SECOND, wanted=100)
            slots += block.slots
    assert [(slot - start) // SECOND for slot in slots] == list(range(0, 2 * len(slots), 2))
    assert len(slots) in (30, 31, 32)


async def test_who_is_sent_away_gets_a_time_of_its_own(archive: Archive) -> None:
    limit = Limit.of("lane:x", Rate.parse("1/s"))
    now = to_microseconds(NOW)
    async with archive.writing() as connection:
        assert len((await pace.lease_block(connection, [limit], now, wanted=10)).slots) == 5
        places = [(await pace.lease_block(connection, [limit], now, wanted=10)).back_at for _ in range(500)]
    assert places[:3] == [now + 5 * SECOND, now + 15 * SECOND, now + 25 * SECOND]
    assert max(places) <= now + pace.HORIZON
    assert len({place // SECOND for place in places}) > 100  # scattered, not all at once


async def test_permits_given_back_are_used_by_the_next(archive: Archive) -> None:
    limit = Limit.of("lane:x", Rate.parse("1/s"))
    now = to_microseconds(NOW)
    async with archive.writing() as connection:
        block = await pace.lease_block(connection, [limit], now, wanted=4)
        await pace.give_back(connection, limit, block, unused=3)
        assert (await pace.lease_block(connection, [limit], now, wanted=1)).slots == (now + SECOND,)


async def test_what_workers_report_adds_up(archive: Archive) -> None:
    async with archive.writing() as connection:
        for worker in ("a", "b"):
            await lanes.report_use(connection, R, worker, [lanes.LaneUse(GMAIL, 3, 60.0)], NOW)
    async with archive.reading() as connection:
        assert await lanes.lanes_in_use(connection, R, NOW - timedelta(seconds=10)) == {
            GMAIL: lanes.LaneUse(GMAIL, 6, 120.0)
        }
        assert await lanes.lanes_in_use(connection, R, NOW + timedelta(seconds=1)) == {}
