"""One provider of three answers nothing at all: the other two do not wait for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.bad_day import GMAIL, GMX, YAHOO, await_completed, moments_taken
from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_until
from tests.support.system import System

SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": "8", "POSTWERK_SHUTDOWN_SECONDS": "1"}
SLOW_DOT = ("--ack-delay", "0.2")
"""Eight connections then carry 40 messages a second, on a busy machine too."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("hanging", "others"),
    [
        pytest.param(300, 300, marks=pytest.mark.slow),
        pytest.param(2000, 300, marks=pytest.mark.slow),
    ],
)
def test_a_provider_that_hangs_does_not_slow_the_others(tmp_path: Path, hanging: int, others: int) -> None:
    """2,000 in batches of 20 are more batches than the worker has room for."""
    stuck = addresses(hanging, domain=YAHOO)
    with System(tmp_path, settings=SETTINGS, sandbox_options=SLOW_DOT) as system:
        alone = _seconds_for_both(system, "alone", others)
        system.sandbox.set_domain(YAHOO, preset="hang")
        waiting = system.post(a_mailing(stuck, recipients_per_child=20))["id"]
        wait_until(lambda: _met(system) == 8, "all connections of the lane hang")
        beside = _seconds_for_both(system, "beside", others)
        met, view = _met(system), system.view(waiting)
        system.kill("worker")  # it would let them hang to the end of its time

    print(f"alone {alone:.1f} s, beside a provider that hangs {beside:.1f} s")
    assert beside <= 1.3 * alone
    assert met == 8
    assert {state for state, count in view["counts"].items() if count} <= {"queued", "sending"}


def _seconds_for_both(system: System, name: str, count: int) -> float:
    """Send so many mails to each of the other two; answers the time from the order to the last of them."""
    to = [one for domain in (GMAIL, GMX) for one in addresses(count, name, domain)]
    began = time.time()
    bulk_id = system.post(a_mailing(to, recipients_per_child=20))["id"]
    await_completed(system, bulk_id)
    assert verdict_of(system, bulk_id, to).complaints == []
    return max(moments_taken(system, GMAIL) + moments_taken(system, GMX)) - began


def _met(system: System) -> int:
    """How many transactions hang."""
    return int(system.sandbox.domains()[YAHOO]["met"])
