"""kill -9 at random moments: nothing lost, nothing falsely delivered, copies counted and marked.

The sandbox answers the dot late, so that a kill nearly always finds open connections in the gap "dot
written, reply not recorded".
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import httpx2
import pytest

from tests.faults.mailing import a_mailing, a_seed, addresses, verdict_of, wait_for_mails, wait_until
from tests.support.system import System

CONNECTIONS = 8
LONGEST_RECOVERY_SECONDS = 60
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS), "POSTWERK_CONCURRENT_BATCHES": "5"}
"""Few batches at a time: a kill then strands only some, and the next kill again finds a busy worker."""


@pytest.mark.timeout(180)
def test_kill_9_of_worker_and_temporal_loses_nothing_and_marks_every_copy(tmp_path: Path) -> None:
    chance = a_seed()
    twice, once = addresses(220, domain="resend.example"), addresses(180, domain="stop.example")
    with System(tmp_path, settings=SETTINGS, sandbox_options=("--ack-delay", "0.1")) as system:
        resend = system.post(a_mailing(twice))["id"]
        stop = system.post(a_mailing(once, on_ambiguous="stop"))["id"]
        crash(system, ["worker", "temporal", "worker"], chance, until=200)
        recovered = _await_end(system, resend, stop)
        # Two lanes, so twice the connections.
        most = 2 * 2 * CONNECTIONS
        resent = verdict_of(system, resend, twice, most_extra_copies=most)
        stopped = verdict_of(system, stop, once, most_extra_copies=0, most_marked=most)

    assert resent.complaints == []
    assert stopped.complaints == []
    assert resent.states == {"delivered": len(twice)}
    assert set(stopped.states) <= {"delivered", "unknown"}
    assert stopped.states["unknown"] <= most
    assert resent.possible_duplicates + stopped.states["unknown"] > 0, "no kill found the ambiguous gap"
    assert recovered < LONGEST_RECOVERY_SECONDS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_thousand_survive_five_kills_of_the_worker_two_of_temporal_and_one_of_the_api(
    tmp_path: Path,
) -> None:
    chance = a_seed()
    to = addresses(2000)
    with System(tmp_path, settings=SETTINGS, sandbox_options=("--ack-delay", "0.05")) as system:
        bulk_id = system.post(a_mailing([], open=True, recipients=[]))["id"]
        _kill_the_api_in_an_upload(system, bulk_id, to, chance)
        part = _upload(system, bulk_id, iter([_csv(to)]))
        assert part["total_accepted"] == len(to)
        system.api.post(f"/v1/bulk-sends/{bulk_id}/start").raise_for_status()
        parts = ["worker"] * 5 + ["temporal"] * 2
        chance.shuffle(parts)
        crash(system, parts, chance, until=1200)
        recovered = _await_end(system, bulk_id)
        verdict = verdict_of(system, bulk_id, to, most_extra_copies=5 * CONNECTIONS)

    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert verdict.possible_duplicates > 0, "no kill found the ambiguous gap"
    assert recovered < LONGEST_RECOVERY_SECONDS


def crash(system: System, parts: list[str], chance: Random, *, until: int) -> None:
    """Kill the parts one after the other, at random numbers of mails taken, and restart each."""
    step = until // len(parts)
    for number, part in enumerate(parts):
        moment = number * step + chance.randrange(step // 4, step)
        wait_for_mails(system, moment)
        down = chance.uniform(0.5, 2)
        print(f"at {moment} mails: kill -9 {part}, back after {down:.1f} s")
        system.kill(part)
        time.sleep(down)  # this is the fault, not a wait for something
        system.start(part)


def _await_end(system: System, *bulk_ids: str) -> float:
    """Wait until all is accounted for and closed; answers the seconds it took."""
    began = time.monotonic()
    for bulk_id in bulk_ids:
        system.wait_until_accounted(bulk_id, LONGEST_RECOVERY_SECONDS)
    recovered = time.monotonic() - began
    wait_until(lambda: {system.view(one)["state"] for one in bulk_ids} == {"completed"}, "all are completed")
    print(f"accounted for {recovered:.1f} s after the last restart")
    return recovered


def _kill_the_api_in_an_upload(system: System, bulk_id: str, to: list[str], chance: Random) -> None:
    """The list comes in small pieces and never to its end; the API dies when it has stored some of it."""
    died = False
    moment = chance.randrange(500, 1500)

    def pieces() -> Iterator[bytes]:
        yield b"to,who\r\n"
        for number, one in enumerate(to):
            yield b"%s,reader %d\r\n" % (one.encode(), number)
            if number == moment:
                wait_until(lambda: died, "the API is dead")

    with ThreadPoolExecutor(1) as thread:
        upload = thread.submit(_upload, system, bulk_id, pieces())
        wait_until(lambda: system.view(bulk_id)["accepted"] > 0 or upload.done(), "some rows are stored")
        system.kill("api")
        died = True
        with pytest.raises(httpx2.TransportError):
            upload.result()
    system.start("api")
    stored = system.view(bulk_id)
    print(f"the API died with {stored['accepted']} of {len(to)} stored")
    assert stored["state"] == "open"
    assert 0 < stored["accepted"] < len(to)


def _csv(to: list[str]) -> bytes:
    rows = (f"{one},reader {number}\r\n" for number, one in enumerate(to))
    return f"to,who\r\n{''.join(rows)}".encode()


def _upload(system: System, bulk_id: str, pieces: Iterator[bytes]) -> dict[str, int]:
    kind = {"content-type": "text/csv"}
    with httpx2.Client(base_url=system.house.api_url, timeout=60) as http:
        answer = http.post(f"/v1/bulk-sends/{bulk_id}/recipients", content=pieces, headers=kind)
    return dict(answer.raise_for_status().json())
