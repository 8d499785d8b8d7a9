"""Two relays, over real processes: a bulk send is changed while it runs, and its mail follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.sandbox import SandboxProcess, eventually
from tests.support.system import System

SOON = 10


class Two(NamedTuple):
    system: System
    backup: SandboxProcess


def two_relays(folder: Path, *options: str) -> Iterator[Two]:
    with SandboxProcess(ledger=folder / "backup.db") as backup:
        settings = {"POSTWERK_RELAYS": f"backup={backup.relay_url}"}
        with System(folder / "house", settings=settings, sandbox_options=options) as system:
            yield Two(system, backup)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    yield from two_relays(tmp_path_factory.mktemp("relays"))


def a_send(domain: str, count: int, local: str = "ok", **changes: Any) -> dict[str, Any]:
    return {
        "from": "Shop <news@shop.example>",
        "subject": "Spring",
        "text": "Spring is here.\n",
        "recipients": [{"to": f"{local}+{n}@{domain}"} for n in range(count)],
        "retry": {"initial": "2h", "maximum": "2h"},
    } | changes


def change(system: System, bulk_id: str, **fields: Any) -> dict[str, Any]:
    answer = system.api.patch(f"/v1/bulk-sends/{bulk_id}", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def addresses_taken(two: Two, domain: str) -> list[str]:
    """By both relays, each as often as it was taken."""
    found = [*two.system.sandbox.messages(), *two.backup.messages()]
    return sorted(one["rcpt_to"] for one in found if one["rcpt_to"].endswith(f"@{domain}"))


def all_of(domain: str, count: int, local: str = "ok") -> list[str]:
    return sorted(f"{local}+{n}@{domain}" for n in range(count))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_running_paced_send_is_moved_and_nobody_gets_two(two: Two) -> None:
    bulk_id = two.system.post(a_send("moved.example", 60, rate="2/s", recipients_per_child=20))["id"]
    eventually(lambda: len(two.system.sandbox.attempts("moved.example")) >= 4, 30)
    view = change(two.system, bulk_id, relay="backup", reason="the first one is too slow")
    changed_at = time.time()
    assert view["relay"] == "backup"
    eventually(lambda: two.backup.attempts("moved.example"), SOON)
    change(two.system, bulk_id, rate=None)

    assert two.system.wait_until_accounted(bulk_id)["counts"]["delivered"] == 60
    assert addresses_taken(two, "moved.example") == all_of("moved.example", 60)
    first = two.system.sandbox.attempts("moved.example")
    assert len(first) < 60
    assert max(one["at"] for one in first) < changed_at + 2.5


@pytest.mark.timeout(120)
def test_a_send_in_full_swing_is_moved_and_nobody_gets_two(two: Two) -> None:
    bulk_id = two.system.post(a_send("swing.example", 300, local="slow1", recipients_per_child=75))["id"]
    eventually(lambda: len(two.system.sandbox.attempts("swing.example")) >= 20, 30)
    change(two.system, bulk_id, relay="backup")
    changed_at = time.time()
    assert two.system.wait_until_accounted(bulk_id)["counts"]["delivered"] == 300
    assert addresses_taken(two, "swing.example") == all_of("swing.example", 300, "slow1")
    first = [one["at"] for one in two.system.sandbox.attempts("swing.example")]
    print(f"{len(first)} over the first relay, the last {max(first) - changed_at:.1f} s after the change")
    assert len(first) < 150
    assert max(first) < changed_at + 6  # what was on its way when the workers learnt of it
    messages = two.system.api.get(f"/v1/bulk-sends/{bulk_id}/messages", params={"limit": 1000}).json()["data"]
    assert {(one["attempt_count"], one["possible_duplicate"]) for one in messages} == {(1, False)}


@pytest.mark.timeout(120)
def test_a_faster_rate_is_in_force_within_two_seconds(two: Two) -> None:
    bulk_id = two.system.post(a_send("faster.example", 150, rate="60/min", recipients_per_child=50))["id"]
    eventually(lambda: len(two.system.sandbox.attempts("faster.example")) >= 3, 30)
    change(two.system, bulk_id, rate="6000/min")
    changed_at = time.time()
    assert two.system.wait_until_accounted(bulk_id, timeout=30)["counts"]["delivered"] == 150

    times = sorted(one["at"] for one in two.system.sandbox.attempts("faster.example"))
    before = [at for at in times if at < changed_at]
    within = [at for at in times if changed_at <= at < changed_at + 3]
    print(f"{len(before)} before, {len(within)} in the 3 s after, last {times[-1] - changed_at:.1f} s after")
    assert len(before) <= 10
    assert len(within) >= 30, "by the old rate it would be three"
    assert times[-1] - changed_at < 12


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_slower_rate_is_kept_from_then_on(two: Two) -> None:
    bulk_id = two.system.post(a_send("slower.example", 200, rate="20/s", recipients_per_child=50))["id"]
    eventually(lambda: len(two.system.sandbox.attempts("slower.example")) >= 20, 30)
    change(two.system, bulk_id, rate="1/s")
    changed_at = time.time()
    eventually(lambda: time.time() > changed_at + 6, 10)
    times = [one["at"] for one in two.system.sandbox.attempts("slower.example")]
    late = [at for at in times if changed_at + 2 <= at < changed_at + 6]
    assert 2 <= len(late) <= 6
    two.system.api.post(f"/v1/bulk-sends/{bulk_id}/cancel").raise_for_status()


@pytest.mark.timeout(120)
def test_a_new_retry_schedule_is_followed_by_who_waits_already(two: Two) -> None:
    bulk_id = two.system.post(a_send("again.example", 6, local="defer1"))["id"]
    eventually(lambda: two.system.view(bulk_id)["counts"]["deferred"] == 6, 30)
    change(two.system, bulk_id, retry={"waits": ["3s"], "jitter": 0})
    view = two.system.wait_until_accounted(bulk_id, timeout=SOON + 5)
    assert view["counts"]["delivered"] == 6
    assert view["retry"]["waits"] == [3.0]


@pytest.mark.timeout(120)
def test_who_waits_for_a_rest_of_its_lane_goes_at_once_over_another_relay(two: Two) -> None:
    two.system.sandbox.set_domain("yahoo.com", preset="yahoo-tss04")
    bulk_id = two.system.post(a_send("yahoo.com", 6))["id"]
    eventually(lambda: (two.system.view(bulk_id)["waits_for"] or {}).get("reason") == "cooling_down", 30)
    change(two.system, bulk_id, relay="backup")
    eventually(lambda: two.backup.attempts("yahoo.com"), SOON)
    assert two.system.api.get("/v1/lanes/yahoo.com").json()["state"] == "cooling_down"
    assert two.system.api.get("/v1/lanes/yahoo.com?relay=backup").json()["state"] == "free"
    assert two.system.wait_until_accounted(bulk_id, SOON)["counts"]["delivered"] == 6


@pytest.mark.timeout(120)
def test_mail_for_a_relay_that_is_down_goes_over_the_backup_within_seconds(two: Two) -> None:
    two.system.sandbox.kill()
    try:
        bulk_id = two.system.post(a_send("down.example", 40, recipients_per_child=10))["id"]
        eventually(lambda: (two.system.view(bulk_id)["waits_for"] or {}).get("reason") == "relay_down", 30)
        other = two.system.post(a_send("straight.example", 5, relay="backup"))["id"]
        assert two.system.wait_until_accounted(other, SOON)["counts"]["delivered"] == 5
        change(two.system, bulk_id, relay="backup")
        view = two.system.wait_until_accounted(bulk_id, timeout=SOON)
        assert view["counts"]["delivered"] == 40
        assert two.system.api.get("/v1/relay").json()["state"] != "working"
        assert two.system.api.get("/v1/relay?relay=backup").json()["state"] == "working"
    finally:
        two.system.sandbox.start()
    messages = two.system.api.get(f"/v1/bulk-sends/{bulk_id}/messages").json()["data"]
    assert {(one["deferrals"], one["attempt_count"]) for one in messages} == {(0, 1)}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_mail_for_a_relay_that_the_worker_does_not_know_waits(two: Two) -> None:
    """The API's settings have been changed, the worker's not yet."""
    supervisor, house = two.system.supervisor, two.system.house
    two.system.stop("worker")
    supervisor.house = replace(house, environment={**house.environment, "POSTWERK_RELAYS": ""})
    two.system.start("worker")
    bulk_id = two.system.post(a_send("unknown.example", 3, relay="backup"))["id"]
    eventually(lambda: "relay not known to this worker" in two.system.logs(), 40)
    describe = ("workflow", "describe", "-w", f"bulk-{bulk_id}/batch-1")
    eventually(lambda: "this worker knows no relay backup" in two.system.cli(*describe))
    assert two.system.view(bulk_id)["counts"]["queued"] == 3
    assert two.system.logs().count("relay not known to this worker") == 1

    two.system.stop("worker")
    supervisor.house = house
    two.system.start("worker")
    assert two.system.wait_until_accounted(bulk_id, 40)["counts"]["delivered"] == 3
    assert addresses_taken(two, "unknown.example") == all_of("unknown.example", 3)
    assert two.system.sandbox.attempts("unknown.example") == []
    messages = two.system.api.get(f"/v1/bulk-sends/{bulk_id}/messages").json()["data"]
    assert {one["attempt_count"] for one in messages} == {1}
