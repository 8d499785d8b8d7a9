"""Hold and cancel are promises (P6): five seconds after the call nothing more is tried, at any size."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_for_mails, wait_until
from tests.support.system import System

AT_ONCE = 5.0
QUIET = 4.0
"""Seconds that are looked at behind the five."""
DOMAIN = "big.example"
Stop = Callable[[System, str], tuple[str, dict[str, Any]]]


def pausing(_system: System, bulk_id: str) -> tuple[str, dict[str, Any]]:
    return f"/v1/bulk-sends/{bulk_id}/pause", {"reason": "a test"}


def holding_the_send(_system: System, bulk_id: str) -> tuple[str, dict[str, Any]]:
    return "/v1/queue/hold", {"filter": {"bulk": bulk_id}, "reason": "a test"}


def holding_each_message(_system: System, bulk_id: str) -> tuple[str, dict[str, Any]]:
    return "/v1/queue/hold", {"filter": {"bulk": bulk_id, "domain": DOMAIN}, "reason": "a test"}


def resuming(bulk_id: str) -> tuple[str, dict[str, Any]]:
    return f"/v1/bulk-sends/{bulk_id}/release", {}


def call(system: System, path: str, order: dict[str, Any]) -> float:
    """The moment the call returned."""
    answer = system.api.post(path, json=order)
    assert answer.status_code in (200, 202), answer.text
    print(f"{path}: {answer.status_code} after {answer.elapsed.total_seconds():.2f} s")
    return time.time()


def tried_since(system: System, moment: float) -> list[float]:
    return [one["at"] for one in system.sandbox.attempts(since=moment)]


def nothing_is_tried_after(system: System, returned: float) -> None:
    time.sleep(max(0.0, returned + AT_ONCE + QUIET - time.time()))
    late = tried_since(system, returned + AT_ONCE)
    last = max(tried_since(system, returned - 1), default=returned)
    print(f"the last attempt began {last - returned:.2f} s after the call")
    assert late == []


def goes_on_within(system: System, returned: float) -> None:
    wait_until(lambda: bool(tried_since(system, returned)), "an attempt", patience=AT_ONCE)
    print(f"the first attempt came {min(tried_since(system, returned)) - returned:.2f} s after the release")


def stopped_released_and_cancelled(tmp_path: Path, stop: Stop, size: int, started: int) -> None:
    to = addresses(size, domain=DOMAIN)
    with System(tmp_path) as system:
        request = a_mailing(to)
        del request["recipients_per_child"]
        bulk_id = system.post(request)["id"]
        wait_for_mails(system, started)
        nothing_is_tried_after(system, call(system, *stop(system, bulk_id)))
        goes_on_within(system, call(system, *resuming(bulk_id)))
        time.sleep(1)
        cancel = (f"/v1/bulk-sends/{bulk_id}/cancel", {"reason": "a test"})
        nothing_is_tried_after(system, call(system, *cancel))
        system.wait_until_accounted(bulk_id, timeout=60)
        wait_until(lambda: system.view(bulk_id)["state"] == "cancelled", "cancelled")
        verdict = verdict_of(system, bulk_id, to)
    assert verdict.complaints == []
    assert set(verdict.states) == {"delivered", "cancelled"}


STOPS = [pausing, holding_the_send, holding_each_message]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_send_of_some_thousands_stops_and_goes_on(tmp_path: Path) -> None:
    stopped_released_and_cancelled(tmp_path, holding_each_message, 4_000, 300)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("started", [100, 10_000], ids=["while it is expanded", "in full flight"])
def test_a_send_of_fifty_thousand_stops_and_goes_on(tmp_path: Path, stop: Stop, started: int) -> None:
    stopped_released_and_cancelled(tmp_path, stop, 50_000, started)
