"""Destinations suspended while mail goes to them, over real processes; the mail server's ledger proves it."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import POSTGRESQL, SQLITE, fresh_database
from tests.support.judge import ask_archive
from tests.support.sandbox import eventually
from tests.support.system import System

WITHIN_SECONDS = 5
"""From the answer on: nothing more to a suspended destination, and again something after its end."""
RATE = 100
MANY = [f"ok+{n}@gmail.com" for n in range(600)]
MANY += [f"ok+{n}@small-{n % 100}.example" for n in range(600)]
SOME = [f"ok+{n}@googlemail.com" for n in range(200)]
FEW = [f"ok+{n}@tiny.example" for n in range(9)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("suspensions")) as started:
        yield started


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.slow)])
async def database_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Empty for SQLite."""
    if request.param == "sqlite":
        yield ""
        return
    async with fresh_database(request.getfixturevalue("postgresql_server")) as url:
        yield url


def a_send(to: list[str], **changes: Any) -> dict[str, Any]:
    return {
        "from": "Shop <news@shop.example>",
        "subject": "Spring",
        "text": "Spring is here.\n",
        "recipients": [{"to": address} for address in to],
    } | changes


def suspend(system: System, **order: Any) -> dict[str, Any]:
    answer = system.api.post("/v1/suspensions", json={"reason": "their maintenance", **order})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def end(system: System, made: dict[str, Any]) -> float:
    """End it; the moment of the answer."""
    system.api.delete(f"/v1/suspensions/{made['id']}").raise_for_status()
    return time.time()


def delivered(system: System, bulk_id: str) -> int:
    return int(system.view(bulk_id)["counts"]["delivered"])


def waits_for(system: System, bulk_id: str) -> str | None:
    waits = system.view(bulk_id)["waits_for"]
    return waits and str(waits["reason"])


def moments(system: System, domain: str, since: float = 0) -> list[float]:
    """Of every attempt, whatever came of it."""
    return [float(one["at"]) for one in system.sandbox.attempts(domain, since)]


def to_suspended(system: System) -> list[float]:
    return [*moments(system, "googlemail.com"), *moments(system, "tiny.example")]


def attempts_counted(system: System, bulk_id: str) -> set[tuple[Any, ...]]:
    query = f"SELECT DISTINCT attempts, deferrals FROM message WHERE bulk_id = '{bulk_id}'"
    return set(ask_archive(system.house.environment["POSTWERK_DATABASE_URL"], query))


def until(made: dict[str, Any]) -> float:
    return datetime.fromisoformat(made["until"]).timestamp()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_domains_in_shared_lanes_get_nothing_while_the_others_go_on_at_full_speed(
    tmp_path: Path, database_url: str
) -> None:
    mixed = random.Random(4).sample(MANY + SOME, len(MANY + SOME)) + FEW
    with System(tmp_path, database_url=database_url, workers=2) as system:
        bulk_id = system.post(a_send(mixed, rate=f"{RATE}/s", recipients_per_child=50))["id"]
        eventually(lambda: delivered(system, bulk_id) > RATE, 30)
        made = [suspend(system, domain=name, **{"for": "1h"}) for name in ("googlemail.com", "tiny.example")]
        stopped = time.time()
        eventually(lambda: delivered(system, bulk_id) == len(MANY) + len(to_suspended(system)), 40)
        finished, left = time.time(), to_suspended(system)
        eventually(lambda: waits_for(system, bulk_id) == "suspended")
        others = [float(one["at"]) for one in system.sandbox.attempts(since=stopped)]

        ended = [end(system, one) for one in made][-1]
        system.wait_until_accounted(bulk_id, 30)
        again = {one: min(moments(system, one, ended - 1)) for one in ("googlemail.com", "tiny.example")}
        counted = attempts_counted(system, bulk_id)

    speed = len(others) / (max(others) - stopped)
    print(f"last {max(left) - stopped:.2f} s after the answer, {len(left)} before; others at {speed:.0f}/s,")
    print(f"first again {[round(at - ended, 2) for at in again.values()]} s after the end")
    assert max(left) <= stopped + WITHIN_SECONDS
    assert finished > stopped + WITHIN_SECONDS, "it was over before it could be proved"
    assert len(left) < len(SOME + FEW), "nothing was left to be suspended"
    assert speed > 0.8 * RATE
    assert all(at <= ended + WITHIN_SECONDS for at in again.values())
    assert counted == {(1, 0)}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_provider_waits_through_the_death_of_the_worker_and_goes_when_the_time_is_over(
    system: System,
) -> None:
    made = suspend(system, provider="gmx.de", **{"for": "20s"})
    addresses = [f"ok+{n}@{domain}" for n in range(30) for domain in ("gmx.de", "gmx.net", "free.example")]
    bulk_id = system.post(a_send(addresses))["id"]
    eventually(lambda: delivered(system, bulk_id) == 30, 15)
    system.kill("worker")
    system.start("worker")
    lane = system.api.get("/v1/lanes/gmx.net").json()
    assert (lane["state"], lane["suspension"]["until"]) == ("suspended", made["until"])
    view = system.view(bulk_id)
    assert (view["counts"]["queued"], view["counts"]["delivered"]) == (60, 30)
    assert time.time() < until(made)

    system.wait_until_accounted(bulk_id, timeout=40)
    times = sorted(moments(system, "gmx.de") + moments(system, "gmx.net"))
    print(f"{times[0] - until(made):.2f} to {times[-1] - until(made):.2f} s after its end")
    assert until(made) <= times[0] <= until(made) + WITHIN_SECONDS
    assert attempts_counted(system, bulk_id) == {(1, 0)}


@pytest.mark.timeout(120)
def test_of_two_that_overlap_the_end_of_one_frees_nobody(system: System) -> None:
    longer = suspend(system, provider="yahoo.com", **{"for": "1h"})
    shorter = suspend(system, domain="ymail.com", **{"for": "1h"})
    bulk_id = system.post(a_send(["ok+1@yahoo.com", "ok+2@ymail.com"], recipients_per_child=2))["id"]
    eventually(lambda: waits_for(system, bulk_id) == "suspended", 20)
    end(system, longer)
    eventually(lambda: moments(system, "yahoo.com"), WITHIN_SECONDS)
    waits = eventually(lambda: system.view(bulk_id)["waits_for"])
    assert (waits["reason"], waits["until"]) == ("suspended", shorter["until"])
    assert moments(system, "ymail.com") == []

    again = suspend(system, provider="yahoo.com", **{"for": "1h"})
    end(system, shorter)
    message = system.api.get(f"/v1/messages/{bulk_id}.2").json()
    assert (message["state"], message["waits_for"]["until"]) == ("queued", again["until"])
    ended = end(system, again)
    system.wait_until_accounted(bulk_id, WITHIN_SECONDS)
    [moment] = moments(system, "ymail.com")
    assert ended - 1 <= moment <= ended + WITHIN_SECONDS


@pytest.mark.timeout(120)
def test_what_a_running_batch_has_passed_over_goes_soon_after_the_end(system: System) -> None:
    made = suspend(system, domain="hotmail.fr", **{"for": "1h"})
    addresses = [f"ok+{n}@{'hotmail.fr' if n % 10 == 0 else 'live.fr'}" for n in range(300)]
    bulk_id = system.post(a_send(addresses, rate="20/s", recipients_per_child=300))["id"]
    eventually(lambda: delivered(system, bulk_id) >= 40, 20)
    assert moments(system, "hotmail.fr") == []
    ended = end(system, made)
    first = eventually(lambda: moments(system, "hotmail.fr"), WITHIN_SECONDS)[0]
    print(f"{first - ended:.2f} s after the end")
    assert delivered(system, bulk_id) < 270, "the batch was over: it had nothing to notice"
    system.api.post(f"/v1/bulk-sends/{bulk_id}/cancel").raise_for_status()
