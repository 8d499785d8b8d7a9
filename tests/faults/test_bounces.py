"""Too many bounces pause a send; and whoever bounced for good gets nothing the next time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.bad_day import await_completed, await_paused, rows_of, tell
from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_until
from tests.support.system import System

CONNECTIONS = 4
SHORT_RESTS = {"POSTWERK_COOL_DOWN": "PT1S", "POSTWERK_COOL_DOWN_MAXIMUM": "PT1S"}
"""A lane rests when a block list is named, as `policy` addresses do."""
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS)} | SHORT_RESTS
SLOW_DOT = ("--ack-delay", "0.05")
"""Some 80 messages a second: a pause is then seen to come soon."""
RULE = {"bounce_rate": 0.05, "min_sent": 100}
HEARD_OF = 10
"""Seconds after which whoever was listed meanwhile gets nothing."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One for all: each test has recipients of its own."""
    data = tmp_path_factory.mktemp("bounces")
    with System(data, settings=SETTINGS, sandbox_options=SLOW_DOT) as started:
        yield started


@pytest.mark.timeout(110)
def test_a_list_with_many_bounces_is_paused_and_goes_on_when_it_is_released(system: System) -> None:
    """A fifth bounces to the end, so it is paused again; but not for what came before it was released."""
    to = [f"{'ok' if n % 5 else 'bounce'}+{n}@bad.example" for n in range(350)]
    bulk_id = system.post(a_mailing(to, auto_pause=RULE))["id"]
    pauses = []
    while _is_paused_and_not_completed(system, bulk_id):
        reason = await_paused(system, bulk_id)
        pauses.append((reason, _ended(system, bulk_id)))
        tell(system, bulk_id, "release")
        wait_until(lambda: system.view(bulk_id)["state"] != "paused", "it is released")
    verdict = verdict_of(system, bulk_id, to)

    print(pauses)
    assert 2 <= len(pauses) <= 3
    ended_before = 0
    for reason, ended in pauses:
        figures = re.fullmatch(r"paused by itself: (\d+) of (\d+) bounced, more than 5.0%", reason)
        assert figures is not None, reason
        bounced, sent = int(figures[1]), int(figures[2])
        assert 100 <= sent <= 160
        assert bounced > 0.05 * sent
        # What was on its way came to its end.
        assert ended_before + sent <= ended <= ended_before + sent + 10 * CONNECTIONS
        ended_before = ended
    assert verdict.complaints == []
    assert verdict.states == {"delivered": 280, "bounced": 70}


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_list_with_few_bounces_is_never_paused(system: System) -> None:
    few = {n: f"bounce+{n}@good.example" for n in range(25, 400, 50)}
    to = [few.get(n) or f"ok+{n}@good.example" for n in range(400)]
    bulk_id = system.post(a_mailing(to, auto_pause=RULE))["id"]
    await_completed(system, bulk_id)
    verdict = verdict_of(system, bulk_id, to)

    assert verdict.complaints == []
    assert verdict.states == {"delivered": 392, "bounced": 8}
    assert "bulk send paused" not in "".join(line for line in system.logs().split("\n") if bulk_id in line)


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_who_bounced_for_good_gets_nothing_from_the_next_send(system: System) -> None:
    gone = [*addresses(10, "bounce", "twice.example"), *addresses(5, "disabled", "twice.example")]
    refused = [*addresses(5, "full", "twice.example"), *addresses(5, "policy", "twice.example")]
    to = [*gone, *refused, *addresses(10, domain="twice.example")]
    _send_and_give_up_on_the_full_ones(system, to, {"bounced": 20, "delivered": 10, "suppressed": 0})
    between = time.time()
    second = _send_and_give_up_on_the_full_ones(system, to, {"bounced": 5, "delivered": 10, "suppressed": 15})
    verdict = verdict_of(system, second, to)
    tried = {one["recipient"] for one in system.sandbox.attempts("twice.example", between)}

    assert verdict.complaints == []
    assert tried == set(to) - set(gone)
    assert {state for address, state in rows_of(system, second, "address, state") if address in gone} == {
        "suppressed"
    }


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_who_is_listed_while_a_slow_send_runs_gets_nothing_soon_after(system: System) -> None:
    to = addresses(60, domain="listed.example")
    bulk_id = system.post(a_mailing(to, rate="2/s", recipients_per_child=20))["id"]
    wait_until(lambda: len(_mailed(system, "listed.example")) >= 4, "it is under way")
    rows = "\r\n".join(["address,reason", *[f"{one},unsubscribe" for one in to[6:]]])
    taken = system.api.post("/v1/suppressions", content=rows, headers={"content-type": "text/csv"})
    listed_at = time.time()
    assert taken.json()["added"] == 54
    wait_until(lambda: time.time() > listed_at + HEARD_OF + 2, "it would have gone on meanwhile")
    system.wait_until_accounted(bulk_id)
    verdict = verdict_of(system, bulk_id, to)
    late = [at - listed_at for address, at in _mailed(system, "listed.example") if address in to[6:]]

    print(f"{len(late)} of 54 still got it, the last {max(late, default=0):.1f} s after")
    assert max(late, default=0) < HEARD_OF
    assert verdict.complaints == []
    assert verdict.states == {"delivered": 6 + len(late), "suppressed": 54 - len(late)}


def _is_paused_and_not_completed(system: System, bulk_id: str) -> bool:
    """Waits until it is one of the two."""
    wait_until(lambda: system.view(bulk_id)["state"] in ("paused", "completed"), "paused, or completed", 40)
    return bool(system.view(bulk_id)["state"] == "paused")


def _ended(system: System, bulk_id: str) -> int:
    counts = system.view(bulk_id)["counts"]
    return int(counts["delivered"] + counts["bounced"])


def _send_and_give_up_on_the_full_ones(system: System, to: list[str], wanted: dict[str, int]) -> str:
    """Full mailboxes are tried for days; the send is cancelled when all others have come to their end."""
    bulk_id = str(system.post(a_mailing(to, retry={"initial": "1h", "maximum": "1h"}))["id"])
    wanted = wanted | {"deferred": 5}

    def counts() -> dict[str, Any]:
        view = system.view(bulk_id)["counts"]
        return {state: view[state] for state in wanted}

    wait_until(lambda: counts() == wanted, f"{wanted}", 30)
    system.cli("workflow", "cancel", "-w", f"bulk-{bulk_id}")
    wait_until(lambda: system.view(bulk_id)["state"] == "cancelled", "it is cancelled")
    return bulk_id


def _mailed(system: System, domain: str) -> list[tuple[str, float]]:
    return [
        (one["recipient"], one["at"])
        for one in system.sandbox.attempts(domain)
        if one["verdict"] == "accepted"
    ]
