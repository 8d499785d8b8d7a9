"""Schedules with everything real: sends are made at their times, once each, whoever dies meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import a_bulk_send
from tests.support.system import System

WAIT_SECONDS = 90


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path / "house") as running:
        yield running


def eventually(look: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What it answers as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.2)
    return found


def a_schedule(**spec: Any) -> dict[str, Any]:
    recipients = [{"to": f"ok+{n}@example.com"} for n in range(3)]
    return {
        "name": "Weekly",
        "spec": spec or {"every": 2},
        "bulk_send": a_bulk_send(recipients=recipients),
    }


def created(system: System, body: dict[str, Any]) -> dict[str, Any]:
    answer = system.api.post("/v1/schedules", json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def shown(system: System, schedule: dict[str, Any]) -> dict[str, Any]:
    return dict(system.api.get(f"/v1/schedules/{schedule['id']}").raise_for_status().json())


def sends(system: System) -> list[dict[str, Any]]:
    return list(system.api.get("/v1/bulk-sends?limit=200").raise_for_status().json()["data"])


def ordered(system: System, schedule: dict[str, Any], order: str, reason: str = "testing") -> dict[str, Any]:
    answer = system.api.post(f"/v1/schedules/{schedule['id']}/{order}", json={"reason": reason})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


@pytest.mark.timeout(240)
def test_a_schedule_makes_a_send_at_each_of_its_times(system: System) -> None:
    made = created(system, a_schedule())
    assert made["in_force"]
    assert made["bulk_send"]["recipients"] == 3
    eventually(lambda: len(sends(system)) >= 3)

    paused = ordered(system, made, "pause", "enough")
    assert (paused["state"], paused["reason"], paused["next_at"]) == ("paused", "enough", [])
    time.sleep(3)  # what is being made just then comes to its end
    before = {send["id"] for send in sends(system)}
    time.sleep(5)
    assert {send["id"] for send in sends(system)} == before

    fired = ordered(system, made, "trigger")
    eventually(lambda: fired["bulk_send"] in {send["id"] for send in sends(system)})
    ids = {send["id"] for send in sends(system)}
    assert ids == before | {fired["bulk_send"]}
    for bulk_id in ids:
        view = system.wait_until_accounted(bulk_id)
        assert view["counts"]["delivered"] == view["accepted"] == 3
        assert system.accounting(bulk_id)["adds_up"]
    taken = Counter(mail["rcpt_to"] for mail in system.sandbox.messages())
    assert taken == {f"ok+{n}@example.com": len(ids) for n in range(3)}

    assert shown(system, made)["last_bulk_send"] == fired["bulk_send"]
    resumed = ordered(system, made, "resume")
    assert resumed["state"] == "active"
    eventually(lambda: len(sends(system)) > len(ids))
    assert system.api.delete(f"/v1/schedules/{made['id']}").status_code == 204
    assert system.api.get(f"/v1/schedules/{made['id']}").status_code == 404
    assert made["id"] not in system.cli("schedule", "list")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_stored_while_temporal_was_away_comes_true_though_the_api_dies(system: System) -> None:
    system.kill("temporal")
    made = created(system, a_schedule())
    assert not made["in_force"]
    assert made["next_at"] is None
    system.kill("api")
    system.start("temporal")
    # The worker looks after it too; the API is started for the questions.
    system.start("api")
    eventually(lambda: shown(system, made)["in_force"])
    assert shown(system, made)["next_at"]
    first = eventually(lambda: sends(system))[0]["id"]
    assert system.wait_until_accounted(first)["counts"]["delivered"] == 3


@pytest.mark.timeout(300)
def test_a_worker_that_dies_while_it_makes_a_send_makes_no_second_one(system: System) -> None:
    body = a_schedule(cron="0 8 1 1 *")
    body["bulk_send"]["recipients"] = [{"to": f"ok+{n}@example.com"} for n in range(20_000)]
    made = created(system, body)
    fired = ordered(system, made, "trigger")
    time.sleep(0.3)
    system.kill("worker")
    system.start("worker")
    view = eventually(lambda: _view(system, fired["bulk_send"]))
    assert view["accepted"] == 20_000
    assert [send["id"] for send in sends(system)] == [fired["bulk_send"]]
    accounting = system.accounting(fired["bulk_send"])
    assert accounting["accepted"] == sum(accounting["stored"].values()) == 20_000
    assert accounting["adds_up"]


def _view(system: System, bulk_id: str) -> dict[str, Any] | None:
    answer = system.api.get(f"/v1/bulk-sends/{bulk_id}")
    return None if answer.status_code == 404 else dict(answer.json())


@pytest.mark.timeout(240)
def test_a_send_that_begins_later_is_seen_moved_and_sent(system: System) -> None:
    """Scheduled for next year, visible in Temporal, told to begin now."""
    taken = system.post(a_bulk_send(send_at="2027-12-24T18:00:00+01:00"))
    assert taken["status"] == "scheduled"
    assert taken["suppressed"] is None
    view = system.view(taken["id"])
    assert (view["state"], view["send_at"]) == ("scheduled", "2027-12-24T17:00:00Z")
    assert view["deadline"] == "2027-12-29T17:00:00Z"
    assert (view["waits_for"]["reason"], view["waits_for"]["until"]) == ("scheduled", view["send_at"])
    assert taken["workflow_id"] in system.cli("workflow", "list", "--query", 'BulkState="scheduled"')

    path = f"/v1/bulk-sends/{taken['id']}"
    assert system.api.post(f"{path}/pause", json={"reason": "wait"}).json()["state"] == "paused"
    assert system.api.post(f"{path}/resume").json()["state"] == "scheduled"
    moved = system.api.patch(path, json={"send_at": "2028-02-29T08:00:00Z", "deadline": "2d"}).json()
    assert (moved["send_at"], moved["deadline"]) == ("2028-02-29T08:00:00Z", "2028-03-02T08:00:00Z")
    now = system.api.patch(path, json={"send_at": None})
    assert now.status_code == 200, now.text
    done = system.wait_until_accounted(taken["id"])
    assert done["counts"]["delivered"] == 1
    assert done["send_at"] < "2027-01-01"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_send_that_begins_later_is_kept_while_temporal_is_away(system: System) -> None:
    system.kill("temporal")
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 20))
    taken = system.post(a_bulk_send(send_at=at))
    assert taken["status"] == "scheduled"
    assert system.api.patch(f"/v1/bulk-sends/{taken['id']}", json={"send_at": None}).status_code == 503
    system.start("temporal")
    done = system.wait_until_accounted(taken["id"], timeout=WAIT_SECONDS + 60)
    assert done["counts"]["delivered"] == 1
    assert at[:19] <= done["started_at"][:19]
