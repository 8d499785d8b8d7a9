"""Rates are kept by all workers together, as the mail server counts them, and concern nobody else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postwerk.archive import lanes
from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.rules.pace import Rate
from postwerk.rules.providers import LaneLimits
from postwerk.smtp import RelayConfig
from tests.faults.bad_day import await_completed, moments_taken, most_within
from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_until
from tests.support.system import System

NARROW = {"POSTWERK_CONNECTIONS_PER_LANE": "2"}
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": "4"}
"""Few: a batch that is paced and waits for a connection must not let its permits lapse."""


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_two_workers_keep_the_rate_of_a_send_together_and_another_send_goes_freely(tmp_path: Path) -> None:
    paced = addresses(55, domain="paced.example")
    burst, free = addresses(24, "burst", "burst.example"), addresses(200, "free", "burst.example")
    with System(tmp_path, settings=NARROW, workers=2) as system:
        first = system.post(a_mailing(paced, rate="5/s", recipients_per_child=5))["id"]
        second = system.post(a_mailing(burst, rate="1/s,burst=12", recipients_per_child=24))["id"]
        other = system.post(a_mailing(free))["id"]
        await_completed(system, other)
        still_to_go = system.view(second)["counts"]["queued"]
        for bulk_id in (first, second):
            await_completed(system, bulk_id)
        verdicts = [
            verdict_of(system, one, to) for one, to in ((first, paced), (second, burst), (other, free))
        ]
        moments = moments_taken(system, "paced.example")
        bursting = [
            one["at"] for one in system.sandbox.attempts("burst.example") if "burst+" in one["recipient"]
        ]

    kept = sum(at < moments[0] + 10 for at in moments)
    print(f"5/s: {kept} in ten seconds; 1/s,burst=12: {most_within(bursting, 1)} in the first")
    assert 49 <= kept <= 51
    assert most_within(moments, 2) <= 12
    assert still_to_go > 4, "the other send waited for this one"
    assert 12 <= most_within(bursting, 0.9) <= 13
    assert bursting[-1] - bursting[0] >= 11
    assert [verdict.complaints for verdict in verdicts] == [[], [], []]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_kind_of_rate_holds_for_three_minutes(tmp_path: Path) -> None:
    """A send's, a lane's, and in a system of its own the relay's, over two workers each."""
    with ExitStack() as stack:
        system = stack.enter_context(System(tmp_path / "a", settings=SETTINGS, workers=2))
        whole = stack.enter_context(
            System(tmp_path / "b", settings=SETTINGS | {"POSTWERK_RELAY_RATE": "4/s"}, workers=2)
        )
        _limit_lane(system, "lane.example", "2/s")
        for domain, count, changes in (
            ("minute.example", 100, {"rate": "30/min"}),
            ("second.example", 940, {"rate": "5/s"}),
            ("lane.example", 380, {}),
        ):
            system.post(a_mailing(addresses(count, domain=domain), **changes))
        for domain in ("one.example", "two.example"):
            whole.post(a_mailing(addresses(380, domain=domain)))
        wait_until(lambda: _span(_all(system)) > 186 and _span(_all(whole)) > 186, "three minutes", 250)
        free = system.post(a_mailing(addresses(300, domain="free.example")))["id"]
        await_completed(system, free, 20)
        moments = {
            "30/min": moments_taken(system, "minute.example"),
            "5/s": moments_taken(system, "second.example"),
            "2/s of the lane": moments_taken(system, "lane.example"),
            "4/s of the relay": _all(whole),
        }

    kept = {name: sum(at < seen[0] + 180 for at in seen) for name, seen in moments.items()}
    print(f"in three minutes: {kept}")
    for name, wanted in (("30/min", 90), ("5/s", 900), ("2/s of the lane", 360), ("4/s of the relay", 720)):
        assert abs(kept[name] - wanted) <= 0.02 * wanted, name


def _limit_lane(system: System, lane: str, rate: str) -> None:
    """As an operator does."""

    async def limit() -> None:
        environment = system.house.environment
        relay = RelayConfig.from_url(environment["POSTWERK_RELAY_URL"]).name
        archive = Archive(ArchiveConfig(environment["POSTWERK_DATABASE_URL"]))
        try:
            async with archive.writing() as connection:
                await lanes.set_limits(
                    connection,
                    relay,
                    lane,
                    LaneLimits(rate=Rate.parse(rate)),
                    by="ada",
                    reason="a trial",
                    now=datetime.now(UTC),
                    until=None,
                )
        finally:
            await archive.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, limit()).result()


def _all(system: System) -> list[float]:
    return [one["at"] for one in system.sandbox.attempts()]


def _span(moments: list[float]) -> float:
    return moments[-1] - moments[0] if moments else 0.0
