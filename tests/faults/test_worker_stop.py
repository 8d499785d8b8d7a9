"""A worker that is asked to end, and one that stands still and comes back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_for_mails, wait_until
from tests.support.judge import ask_archive, ledger_size
from tests.support.system import System

CONNECTIONS = 8
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS)}
LONGEST_GOODBYE_SECONDS = 8
HEARTBEAT_TIMEOUT_SECONDS = 30


@pytest.mark.timeout(120)
def test_a_worker_that_is_told_to_end_finishes_its_transactions_and_begins_none(tmp_path: Path) -> None:
    to = addresses(300)
    with System(tmp_path, settings=SETTINGS, sandbox_options=("--ack-delay", "0.2")) as system:
        bulk_id = system.post(a_mailing(to))["id"]
        wait_for_mails(system, 60)
        worker = system.supervisor.running["worker"]
        told_at = time.time()
        worker.ask_to_end()
        wait_until(lambda: worker.exit_code is not None, "the worker has ended", 30)
        took = time.time() - told_at
        latest = _latest_attempt(system, bulk_id)
        mails_of_the_first = ledger_size(system.data / "sandbox.db")
        still_sending = system.view(bulk_id)["counts"]["sending"]
        system.start("worker")
        system.wait_until_accounted(bulk_id)
        verdict = verdict_of(system, bulk_id, to)

    print(f"ended {took:.1f} s after the signal; its last attempt began {latest - told_at:.2f} s after it")
    assert worker.exit_code == 0
    assert took < LONGEST_GOODBYE_SECONDS
    assert mails_of_the_first < len(to), "it was stopped too late to prove anything"
    assert still_sending == 0
    # The signal has to travel through the event loop of a busy process.
    assert latest - told_at < 0.5
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert (verdict.extra_copies, verdict.possible_duplicates) == (0, 0)


@pytest.mark.timeout(90)
def test_a_server_that_owes_a_reply_does_not_keep_a_worker_from_ending(tmp_path: Path) -> None:
    """The limit for the dot is ten minutes; the time of a stopping worker is over earlier."""
    hanging = addresses(3, "hang-after-dot1", domain="resend.example")
    never = addresses(3, "hang-after-dot1", domain="stop.example")
    with System(tmp_path, settings=SETTINGS | {"POSTWERK_SHUTDOWN_SECONDS": "2"}) as system:
        resend = system.post(a_mailing(hanging, recipients_per_child=1))["id"]
        stop = system.post(a_mailing(never, recipients_per_child=1, on_ambiguous="stop"))["id"]
        wait_for_mails(system, 6)
        worker = system.supervisor.running["worker"]
        told_at = time.time()
        worker.ask_to_end()
        wait_until(lambda: worker.exit_code is not None, "the worker has ended", 30)
        took = time.time() - told_at
        system.start("worker")
        for bulk_id in (resend, stop):
            system.wait_until_accounted(bulk_id)
        resent = verdict_of(system, resend, hanging, most_extra_copies=3)
        stopped = verdict_of(system, stop, never, most_marked=3)

    assert worker.exit_code == 0
    assert took < LONGEST_GOODBYE_SECONDS
    assert resent.complaints == []
    assert resent.states == {"delivered": 3}
    assert stopped.complaints == []
    assert stopped.states == {"unknown": 3}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_worker_that_stood_still_and_comes_back_overwrites_nothing(tmp_path: Path) -> None:
    """Its batches were given to another one meanwhile; what it still has to say comes too late."""
    to = addresses(300)
    with System(tmp_path, settings=SETTINGS, sandbox_options=("--ack-delay", "0.2"), workers=2) as system:
        bulk_id = system.post(a_mailing(to))["id"]
        wait_for_mails(system, 80)
        stopped = system.pid("worker")
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
        try:
            time.sleep(HEARTBEAT_TIMEOUT_SECONDS + 6)  # this is the fault, not a wait for something
            system.wait_until_accounted(bulk_id)
        finally:
            os.kill(stopped, signal.SIGCONT)
        stood = time.monotonic() - began
        before = _rows(system, bulk_id)
        another = system.post(a_mailing(addresses(40, domain="later.example")))["id"]
        system.wait_until_accounted(another)
        system.stop("worker")  # it has said all it had to say
        verdict = verdict_of(system, bulk_id, to, most_extra_copies=CONNECTIONS)
        after = _rows(system, bulk_id)

    print(f"it stood still for {stood:.0f} s")
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert verdict.possible_duplicates > 0, "it stood still when nothing was open"
    assert after == before


def _latest_attempt(system: System, bulk_id: str) -> float:
    """When the last attempt began, in seconds since 1970."""
    query = f"SELECT max(started_at) FROM attempt WHERE bulk_id = '{bulk_id}'"
    return int(ask_archive(system.house.environment["POSTWERK_DATABASE_URL"], query)[0][0]) / 1e6


def _rows(system: System, bulk_id: str) -> list[tuple[object, ...]]:
    query = f"SELECT * FROM message WHERE bulk_id = '{bulk_id}' ORDER BY seq"
    return ask_archive(system.house.environment["POSTWERK_DATABASE_URL"], query)
