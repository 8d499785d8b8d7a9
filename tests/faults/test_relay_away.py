"""The relay goes away in the middle of a send, and comes back: nobody loses an attempt."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.bad_day import await_completed, rows_of
from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_for_mails
from tests.support.system import System

CONNECTIONS = 8
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS)}
SLOW_DOT = ("--ack-delay", "0.2")
BATCHES = 16


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("seconds", [3, 30])
def test_a_relay_that_is_away_for_a_while_costs_nobody_an_attempt(tmp_path: Path, seconds: float) -> None:
    to = addresses(25 * BATCHES)
    with System(tmp_path, settings=SETTINGS, sandbox_options=SLOW_DOT) as system:
        bulk_id = system.post(a_mailing(to))["id"]
        wait_for_mails(system, 120)
        system.sandbox.kill()
        died = time.time()
        time.sleep(seconds)  # this is the fault, not a wait for something
        meanwhile = system.view(bulk_id)
        logged = system.logs()
        back = time.time()
        system.sandbox.start()
        await_completed(system, bulk_id)
        verdict = verdict_of(system, bulk_id, to, most_extra_copies=CONNECTIONS)
        attempts = [count for (count,) in rows_of(system, bulk_id, "attempts")]
        counted = sum(count for (count,) in rows_of(system, bulk_id, "deferrals"))
        first_after = min(one["at"] for one in system.sandbox.connections(back))

    failed = logged.count("no session with the relay")
    print(f"away {back - died:.1f} s: {failed} failed sessions, {sum(n > 1 for n in attempts)} tried again")
    print(f"first connection {first_after - back:.1f} s after it was started again")
    assert meanwhile["state"] == "running"
    assert meanwhile["counts"]["sending"] == 0
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    # Only what was on a connection as the relay died was tried twice.
    assert sum(count > 1 for count in attempts) <= CONNECTIONS
    assert max(attempts) == 2
    assert counted <= CONNECTIONS
    # Every batch in hand finds out once, then one of them after 5, 10 and 20 seconds.
    assert failed <= BATCHES + 4
