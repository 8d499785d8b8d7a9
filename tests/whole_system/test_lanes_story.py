"""A provider on a bad day, over real processes: seen, explained, and ended by an operator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from postwerk.archive import lanes
from postwerk.archive.engine import Archive, ArchiveConfig
from tests.support.sandbox import eventually
from tests.support.system import System

WITHIN_SECONDS = 8


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("lanes")) as started:
        yield started


def a_send(domain: str, count: int, **changes: Any) -> dict[str, Any]:
    return {
        "from": "Shop <news@shop.example>",
        "subject": "Spring",
        "text": "Spring is here.\n",
        "recipients": [{"to": f"ok+{n}@{domain}"} for n in range(count)],
        "retry": {"initial": "2h", "maximum": "2h"},
    } | changes


def lane(system: System, name: str) -> dict[str, Any]:
    return dict(system.api.get(f"/v1/lanes/{name}").raise_for_status().json())


def order(system: System, name: str, **words: Any) -> dict[str, Any]:
    answer = system.api.put(f"/v1/lanes/{name}", json=words)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.timeout(120)
def test_a_rest_is_seen_explained_and_ended_by_an_operator(system: System) -> None:
    system.sandbox.set_domain("yahoo.com", preset="yahoo-tss04")
    bulk_id = system.post(a_send("yahoo.com", 6))["id"]
    seen = eventually(lambda: lane(system, "yahoo.com")["cool_down"] and lane(system, "ymail.com"), 20)
    assert (seen["lane"], seen["state"]) == ("yahoo.com", "cooling_down")
    assert seen["cool_down"]["origin"] == "reply"
    assert "[TSS04]" in seen["last_refusal"]["reply"]
    assert seen["relay"]["state"] == "working"
    eventually(lambda: lane(system, "yahoo.com")["queued"] == 6)

    waits = eventually(lambda: settled(system, bulk_id)["waits_for"], 20)
    assert (waits["reason"], waits["lane"]) == ("cooling_down", "yahoo.com")
    assert waits["until"] == seen["cool_down"]["until"]
    assert "421 4.7.0 [TSS04]" in waits["detail"]
    messages = system.api.get(f"/v1/bulk-sends/{bulk_id}/messages").json()["data"]
    assert {one["waits_for"]["reason"] for one in messages} == {"cooling_down"}
    refused = [one for one in messages if one["state"] == "deferred"]
    assert refused
    assert all(one["next_attempt_at"] >= seen["cool_down"]["until"] for one in refused)

    system.sandbox.clear_domain("yahoo.com")
    ended = order(system, "yahoo.com", cool_down=None, reason="Yahoo says all is well", by="ada")
    assert (ended["state"], ended["cool_down"]) == ("free", None)
    view = system.wait_until_accounted(bulk_id, timeout=WITHIN_SECONDS)
    assert view["counts"]["delivered"] == 6
    assert view["waits_for"] is None


@pytest.mark.timeout(120)
def test_a_lane_that_rests_by_hand_sends_nothing_until_that_is_ended(system: System) -> None:
    order(system, "web.de", cool_down="30m", reason="maintenance", by="ada")
    bulk_id = system.post(a_send("gmx.de", 3))["id"]
    waits = eventually(lambda: settled(system, bulk_id)["waits_for"], 20)
    assert waits["reason"] == "cooling_down"
    assert waits["detail"].endswith("maintenance (ada)")
    assert system.sandbox.attempts("gmx.de") == []

    order(system, "gmx.net", cool_down=None, reason="done")
    assert system.wait_until_accounted(bulk_id, timeout=WITHIN_SECONDS)["counts"]["delivered"] == 3


@pytest.mark.timeout(120)
def test_a_rate_slows_a_lane_and_ends_by_itself(system: System) -> None:
    set_ = order(system, "slow.example", rate="60/min", reason="trial", **{"for": "10s"})
    assert set_["limits"]["rate"] == {"value": "60/min", "from": "operator"}
    bulk_id = system.post(a_send("slow.example", 40, recipients_per_child=40))["id"]
    began = time.time()
    paced = eventually(
        lambda: (wait := system.view(bulk_id)["waits_for"]) and wait["reason"] == "paced" and wait, 10
    )
    assert paced["detail"] == "60/min of lane slow.example"
    assert system.wait_until_accounted(bulk_id, timeout=60)["counts"]["delivered"] == 40

    times = sorted(one["at"] for one in system.sandbox.attempts("slow.example"))
    early = [at for at in times if at < began + 7]
    assert 4 <= len(early) <= 9  # one a second
    assert times[-1] - times[0] < 25  # 40 seconds had the rate not ended
    assert lane(system, "slow.example")["override"] is None


@pytest.mark.timeout(120)
def test_taking_a_rate_back_wakes_who_waits_for_it(system: System) -> None:
    order(system, "wake.example", rate="2/h", reason="too careful")
    bulk_id = system.post(a_send("wake.example", 30, recipients_per_child=1))["id"]
    waits = eventually(lambda: settled(system, bulk_id)["waits_for"], 20)
    assert (waits["reason"], waits["lane"]) == ("paced", "wake.example")

    order(system, "wake.example", reason="enough")
    assert system.wait_until_accounted(bulk_id, timeout=WITHIN_SECONDS + 7)["counts"]["delivered"] == 30


@pytest.mark.timeout(120)
def test_the_relay_rests_by_hand_and_goes_on(system: System) -> None:
    told = system.api.put("/v1/relay", json={"cool_down": "1h", "reason": "new certificates"})
    assert told.json()["state"] == "cooling_down"
    bulk_id = system.post(a_send("relay.example", 3))["id"]
    waits = eventually(lambda: settled(system, bulk_id)["waits_for"], 20)
    assert waits["reason"] == "relay_down"
    assert "new certificates" in waits["detail"]

    system.api.put("/v1/relay", json={"cool_down": False, "reason": "done"}).raise_for_status()
    assert system.wait_until_accounted(bulk_id, timeout=WITHIN_SECONDS)["counts"]["delivered"] == 3


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_signal_to_the_root_wakes_the_whole_tree_and_makes_nothing_due(system: System) -> None:
    order(system, "tree.example", cool_down="30m", reason="trial")
    request = a_send("tree.example", 205, recipients_per_child=1)
    request["recipients"] += [{"to": f"defer9+{n}@other-tree.example"} for n in range(8)]
    answer = system.post(request)
    bulk_id, root = answer["id"], answer["workflow_id"]
    eventually(lambda: system.view(bulk_id)["counts"]["deferred"] == 8, 30)
    eventually(lambda: len(running_batches(system, bulk_id)) == 213, 30)

    asyncio.run(end_rest_unheard(system, "tree.example"))
    assert system.view(bulk_id)["counts"]["delivered"] == 0
    system.cli("workflow", "signal", "-w", root, "--name", "look_again")
    eventually(lambda: system.view(bulk_id)["counts"]["delivered"] == 205, 40)
    view = system.view(bulk_id)
    assert (view["counts"]["deferred"], view["waits_for"]["reason"]) == (8, "deferred")
    tried = {one["attempt_count"] for one in messages_of(system, bulk_id, "deferred")}
    assert tried == {1}


@pytest.mark.timeout(120)
def test_nobody_waits_for_a_temporal_that_is_away(system: System) -> None:
    began = time.monotonic()
    system.kill("temporal")
    bulk_id = system.post(a_send("away.example", 1))["id"]
    waits = eventually(lambda: settled(system, bulk_id)["waits_for"], 20)
    assert waits["reason"] == "temporal_away"
    started = time.monotonic()
    system.view(bulk_id)
    assert time.monotonic() - started < 2
    assert time.monotonic() - began < 30


async def end_rest_unheard(system: System, name: str) -> None:
    """In the archive alone: no batch is told."""
    archive = Archive(ArchiveConfig(system.house.environment["POSTWERK_DATABASE_URL"]))
    async with archive.writing() as connection:
        now = datetime.now(UTC)
        await lanes.cool_by_hand(connection, "default", name, until=None, by="", reason="", now=now)
    await archive.close()


def running_batches(system: System, bulk_id: str) -> list[str]:
    query = f'BulkId="{bulk_id}" AND WorkflowType="Delivery" AND ExecutionStatus="Running"'
    found = json.loads(system.cli("workflow", "list", "--query", query, "--limit", "1000", "-o", "json"))
    return [one["execution"]["workflowId"] for one in found]


def messages_of(system: System, bulk_id: str, state: str) -> list[dict[str, Any]]:
    answer = system.api.get(f"/v1/bulk-sends/{bulk_id}/messages", params={"state": state})
    return list(answer.raise_for_status().json()["data"])


def settled(system: System, bulk_id: str) -> dict[str, Any]:
    """The bulk send once nothing is on its way; an empty answer before."""
    view = system.view(bulk_id)
    waits = view["waits_for"] or {}
    quiet = view["counts"]["sending"] == 0 and waits.get("reason") not in ("in_turn", "not_started")
    return view if quiet else {"waits_for": None}
