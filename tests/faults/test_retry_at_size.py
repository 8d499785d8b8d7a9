"""All that is deferred is tried again when an operator says so: at once, and at the pace of its lanes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.mailing import a_mailing, addresses, verdict_of, wait_until
from tests.support.system import System

PACED = "paced.example"
"""Three a second, by an operator."""
MANY, PACED_ONES = 9_900, 100
WITHIN = 10.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_deferred_messages_are_tried_within_ten_seconds(tmp_path: Path) -> None:
    to = addresses(MANY, "greylist", "big.example") + addresses(PACED_ONES, "greylist", PACED)
    with System(tmp_path, sandbox_options=("--greylist-seconds", "1")) as system:
        bulk_id = system.post(a_mailing(to, retry={"initial": "6h"}, recipients_per_child=250))["id"]
        wait_until(
            lambda: system.view(bulk_id)["counts"].get("deferred") == len(to), "all deferred", patience=60
        )
        rate = {"rate": "3/s", "reason": "a test"}
        assert system.api.put(f"/v1/lanes/{PACED}", json=rate).status_code == 200
        called = time.time()
        order = {"filter": {"state": ["deferred"]}, "reason": "the provider is back"}
        assert system.api.post("/v1/queue/retry", json=order).status_code == 202
        wait_until(lambda: len(system.sandbox.attempts(since=called)) >= MANY * 0.9, "most were tried again")
        begun = [one["at"] - called for one in system.sandbox.attempts(since=called)]
        print(f"first {min(begun):.2f} s, {len(begun):,} within {max(begun):.1f} s after the call")
        assert min(begun) < WITHIN
        system.wait_until_accounted(bulk_id, timeout=120)
        verdict = verdict_of(system, bulk_id, to)
        paced = [one["at"] for one in system.sandbox.attempts(PACED, since=called)]
    assert verdict.complaints == []
    assert verdict.states == {"delivered": len(to)}
    assert len(paced) == PACED_ONES
    assert paced[-1] - paced[0] >= (PACED_ONES - 10) / 3  # its burst apart
