"""Permits of a run whose send is changed, and of two relays beside each other."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import cast

import pytest

from activities.clock import ActivityClock
from activities.lane_desk import LaneDesk
from activities.permits import Permits
from activities.routes import Route, Routes
from postwerk.archive import lanes
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import Refusal
from postwerk.rules.pace import Rate
from postwerk.smtp import ConnectionPool, RelayConfig

LANE = "mail.example"


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


async def always() -> bool:
    return True


def a_desk(archive: Archive, relay: str = "default", relay_rate: str = "") -> LaneDesk:
    pool = ConnectionPool(RelayConfig(name=relay, host="127.0.0.1", port=25))
    return LaneDesk(archive, pool, relay, relay_rate=Rate.parse(relay_rate) if relay_rate else None)


def permits_of(desk: LaneDesk, rate: str | None) -> Permits:
    return Permits(desk, LANE, "bulk_x", rate, cast(ActivityClock, Clock()), always)


@pytest.mark.parametrize("faster", ["100/s", None])
async def test_who_waits_for_a_permit_goes_on_when_the_rate_is_raised(
    archive: Archive, faster: str | None
) -> None:
    desk = a_desk(archive)
    permits = permits_of(desk, "15/min")

    async def raised() -> bool:
        permits.change_rate(faster)
        return True

    permits._may_go_on = raised
    assert await permits.take(10)
    began = time.monotonic()
    assert await permits.take(10)  # four seconds by the old rate
    assert await permits.take(10)
    assert time.monotonic() - began < 2
    await permits.give_back()


async def test_who_waits_for_a_permit_of_a_stopped_send_gets_none(archive: Archive) -> None:
    permits = permits_of(a_desk(archive), "15/min")

    async def stopped() -> bool:
        return False

    permits._may_go_on = stopped
    assert await permits.take(10)
    began = time.monotonic()
    assert not await permits.take(10)
    assert time.monotonic() - began < 2


async def test_a_slower_rate_voids_the_permits_at_hand(archive: Archive) -> None:
    permits = permits_of(a_desk(archive), "100/s")
    assert await permits.take(400)
    assert len(permits._slots) > 100
    permits.change_rate("20/min")
    assert await permits.take(400)
    began = time.monotonic()
    assert await permits.take(400)
    assert time.monotonic() - began > 2


async def test_a_worker_that_learns_late_of_a_faster_rate_delays_nobody(archive: Archive) -> None:
    late, early = permits_of(a_desk(archive), "60/min"), permits_of(a_desk(archive), "100/s")
    assert await late.take(100)  # permits for the next five seconds
    began = time.monotonic()
    for _ in range(20):
        assert await early.take(100)
    assert time.monotonic() - began < 2


async def test_each_relay_keeps_the_rate_of_relays_by_itself(archive: Archive) -> None:
    first = permits_of(a_desk(archive, "default", "10/h"), None)
    second = permits_of(a_desk(archive, "backup", "10/h"), None)
    assert await first.take(1)
    assert not await first.take(1)
    assert "relay" in first.reason
    assert await second.take(1)


async def test_a_rest_of_one_relays_lane_is_not_the_other_ones(archive: Archive) -> None:
    first, second = a_desk(archive), a_desk(archive, "backup")
    refusal = Refusal("421 slow down", "rate_limited")
    await first.refused(LANE, "ada@mail.example", refusal, datetime.now(UTC))
    await first.session_failed(refusal, datetime.now(UTC), our_fault=False)
    for desk, rests in ((first, True), (second, False)):
        await desk.look(LANE, datetime.now(UTC))
        assert desk.state(LANE).cools(datetime.now(UTC)) is rests
        assert desk.relay_state.cools(datetime.now(UTC)) is rests
    async with archive.writing() as connection:
        await lanes.end_cool_down(connection, "backup", lanes.RELAY, datetime.now(UTC))
    await first.look(LANE, datetime.now(UTC))
    assert first.relay_state.cools(datetime.now(UTC))


async def test_a_relay_that_is_not_known_is_said_once(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    desk = a_desk(archive)
    routes = Routes([Route(desk._pool, desk)])
    found = routes.find("")
    assert found is not None
    assert found.desk is desk
    assert routes.find("default") is found
    assert [routes.find("backup"), routes.find("backup"), routes.find("bulk")] == [None, None, None]
    lines = [line for line in caplog.messages if "not known to this worker" in line]
    assert len(lines) == 2
    await routes.close()
