"""The story of a bulk send over real processes: from POST to archive, watched and steered by `temporal`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.judge import judge, ledger_size
from tests.support.sandbox import eventually
from tests.support.system import System

CONNECTIONS = 4
IMMEDIATELY_SECONDS = 5
"""After hold or cancel returned, no transaction begins later than this."""
SOON = {"initial": 1, "maximum": 2}
MUCH_LATER = {"initial": "2h", "maximum": "2h"}
FEW = 4
"""Too few for the lane to rest because nearly all of its latest were deferred."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One for all stories: each has recipients of its own."""
    settings = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS)}
    options = ("--greylist-seconds", "2")
    with System(tmp_path_factory.mktemp("story"), settings=settings, sandbox_options=options) as started:
        yield started


def a_story(name: str, kinds: dict[str, int], **changes: Any) -> dict[str, Any]:
    """A bulk send to so many addresses of each kind, in a domain of its own."""
    to = [f"{kind}+{number}@{name}.example" for kind, count in kinds.items() for number in range(count)]
    return {
        "from": "Shop <news@shop.example>",
        "subject": "Grüße, {{ who }}",
        "text": "Dear {{ who }},\n.\nspring is here.\n",
        "html": "<p>Dear {{ who }}</p>",
        "recipients": [{"to": one, "variables": {"who": f"reader {n}"}} for n, one in enumerate(to)],
        "retry": SOON,
    } | changes


@pytest.mark.timeout(90)
def test_sixty_messages_come_to_their_ends_and_are_shown_as_they_were_sent(system: System) -> None:
    kinds = {"ok": 40, "defer2": 5, "greylist": 4, "slow1": 3, "bounce": 5, "reject-after-dot": 3}
    request = a_story("mixed", kinds)
    answer = system.post(request)
    bulk_id, root = answer["id"], answer["workflow_id"]
    assert (answer["accepted"], answer["rejected"]) == (60, 0)
    system.wait_until_accounted(bulk_id)
    eventually(lambda: system.view(bulk_id)["state"] == "completed")

    verdict = judged(system, bulk_id, request)
    assert verdict.complaints == []
    assert verdict.states == {"delivered": 52, "bounced": 8}
    assert (verdict.extra_copies, verdict.possible_duplicates) == (0, 0)
    messages = messages_of(system, bulk_id)
    by_kind = {kind: [one for one in messages if one["to"].startswith(f"{kind}+")] for kind in kinds}
    assert {one["attempt_count"] for one in by_kind["defer2"]} == {3}
    assert {one["attempt_count"] for kind in ("ok", "slow1", "bounce") for one in by_kind[kind]} == {1}
    assert {one["last_reply"]["code"] for one in by_kind["bounce"]} == {550}
    assert {one["last_reply"]["stage"] for one in by_kind["reject-after-dot"]} == {"dot"}
    deferred = system.api.get(f"/v1/messages/{by_kind['defer2'][0]['id']}").json()
    outcomes = [(one["outcome"], one["code"]) for one in deferred["attempts"]]
    assert outcomes == [("deferred", 451), ("deferred", 451), ("delivered", 250)]
    # What is shown is what was sent, byte for byte.
    shown = {one["to"]: content(system, one["id"]) for one in messages if one["state"] == "delivered"}
    taken = {one["rcpt_to"]: system.sandbox.raw(one["id"]) for one in of_domain(system, "mixed.example")}
    assert shown == taken
    # The same in Temporal's words.
    assert json.loads(system.cli("workflow", "result", "-w", root, "-o", "json"))["status"] == "COMPLETED"
    assert progress(system, root)["counts"] == {"delivered": 52, "bounced": 8}
    assert listed(system, f'BulkId="{bulk_id}" AND WorkflowType="Delivery"', 60)
    assert listed(system, f'BulkId="{bulk_id}" AND BulkState="completed"', 1) == [root]


@pytest.mark.timeout(60)
def test_a_cancel_at_the_command_line_ends_the_send_at_once(system: System) -> None:
    # One second a message over four connections: the cancel comes in the middle.
    request = a_story("cancelled", {"slow1": 40}, recipients_per_child=10)
    answer = system.post(request)
    bulk_id, root = answer["id"], answer["workflow_id"]
    eventually(lambda: system.view(bulk_id)["counts"]["delivered"] >= 4)
    system.cli("workflow", "cancel", "-w", root)
    returned = time.time()
    eventually(lambda: system.view(bulk_id)["state"] == "cancelled", 20)

    verdict = judged(system, bulk_id, request)
    assert verdict.complaints == []
    assert set(verdict.states) == {"delivered", "cancelled"}
    assert verdict.states["cancelled"] >= 10
    assert latest_begin(system, "cancelled.example") < returned + IMMEDIATELY_SECONDS
    assert json.loads(system.cli("workflow", "describe", "-w", root, "-o", "json"))["workflowExecutionInfo"][
        "status"
    ].endswith("CANCELED")


@pytest.mark.timeout(60)
def test_a_terminated_send_can_still_be_cancelled(system: System) -> None:
    request = a_story("terminated", {"defer": 3, "ok": 2}, retry=MUCH_LATER)
    answer = system.post(request)
    bulk_id, root = answer["id"], answer["workflow_id"]
    eventually(lambda: system.view(bulk_id)["counts"]["deferred"] == 3)
    eventually(lambda: system.view(bulk_id)["counts"]["delivered"] == 2)
    system.cli("workflow", "terminate", "-w", root)

    system.api.post(f"/v1/bulk-sends/{bulk_id}/cancel", json={"reason": "wrong list"}).raise_for_status()
    view = eventually(lambda: seen if (seen := system.view(bulk_id))["state"] == "cancelled" else {}, 5)
    assert view["reason"] == "wrong list"
    verdict = judged(system, bulk_id, request)
    assert verdict.complaints == []
    assert verdict.states == {"cancelled": 3, "delivered": 2}


@pytest.mark.timeout(60)
def test_hold_and_release_at_the_command_line_stop_and_go_on(system: System) -> None:
    request = a_story("held", {"slow1": 32}, recipients_per_child=8)
    answer = system.post(request)
    bulk_id, root = answer["id"], answer["workflow_id"]
    eventually(lambda: system.view(bulk_id)["counts"]["delivered"] >= 4)
    signal(system, root, "hold", "a look at it")
    returned = time.time()
    eventually(lambda: system.view(bulk_id)["state"] == "paused")
    assert system.view(bulk_id)["reason"] == "a look at it"
    assert progress(system, root)["state"] == "paused"
    assert listed(system, f'BulkState="paused" AND BulkId="{bulk_id}"', 1) == [root]
    eventually(lambda: system.view(bulk_id)["counts"]["sending"] == 0)
    assert progress(system, f"{root}/batch-4")["state"] == "held"
    mails = ledger_size(system.data / "sandbox.db")
    time.sleep(2)  # the proof is that nothing happens
    assert ledger_size(system.data / "sandbox.db") == mails
    assert latest_begin(system, "held.example") < returned + IMMEDIATELY_SECONDS
    assert system.view(bulk_id)["counts"]["queued"] > 0

    signal(system, root, "release")
    system.wait_until_accounted(bulk_id, 30)
    verdict = judged(system, bulk_id, request)
    assert verdict.complaints == []
    assert verdict.states == {"delivered": 32}
    assert (verdict.extra_copies, verdict.possible_duplicates) == (0, 0)


@pytest.mark.timeout(60)
def test_retry_now_at_the_command_line_reaches_one_child_or_all(system: System) -> None:
    request = a_story("waiting", {"defer1": FEW}, retry=MUCH_LATER)
    answer = system.post(request)
    bulk_id, root = answer["id"], answer["workflow_id"]
    eventually(lambda: system.view(bulk_id)["counts"]["deferred"] == FEW, seconds=30)
    child = f"{root}/batch-3"
    # What people see of it meanwhile: the last reply and when it is tried again.
    waiting = system.cli("workflow", "describe", "-w", child, "-o", "json")
    assert "last reply: 451" in waiting
    signal(system, child, "hold", "this one alone")
    eventually(lambda: progress(system, child)["state"] == "held")
    assert progress(system, root)["state"] == "running"
    signal(system, child, "release")
    signal(system, child, "retry_now")
    eventually(lambda: system.view(bulk_id)["counts"]["delivered"] == 1)
    assert [one["seq"] for one in messages_of(system, bulk_id) if one["state"] == "delivered"] == [3]

    signal(system, root, "retry_now")
    system.wait_until_accounted(bulk_id, 20)
    verdict = judged(system, bulk_id, request)
    assert verdict.complaints == []
    assert verdict.states == {"delivered": FEW}
    assert {one["attempt_count"] for one in messages_of(system, bulk_id)} == {2}


# Asking


def judged(system: System, bulk_id: str, request: dict[str, Any]) -> Any:
    to = [one["to"] for one in request["recipients"]]
    url = system.house.environment["POSTWERK_DATABASE_URL"]
    verdict = judge(url, system.data / "sandbox.db", bulk_id, to)
    print(verdict)
    return verdict


def messages_of(system: System, bulk_id: str) -> list[dict[str, Any]]:
    answer = system.api.get(f"/v1/bulk-sends/{bulk_id}/messages", params={"limit": 1000})
    return list(answer.raise_for_status().json()["data"])


def content(system: System, message_id: str) -> bytes:
    return system.api.get(f"/v1/messages/{message_id}/content").raise_for_status().content


def of_domain(system: System, domain: str) -> list[dict[str, Any]]:
    return [one for one in system.sandbox.messages() if one["rcpt_to"].endswith(f"@{domain}")]


def latest_begin(system: System, domain: str) -> float:
    """When the last message began to be taken: the sandbox notes the moment of the dot."""
    return max(float(one["taken_at"]) for one in of_domain(system, domain))


def signal(system: System, workflow: str, name: str, reason: str = "") -> None:
    given = ("--input", json.dumps({"reason": reason})) if reason else ()
    system.cli("workflow", "signal", "-w", workflow, "--name", name, *given)


def progress(system: System, workflow: str) -> dict[str, Any]:
    told = json.loads(system.cli("workflow", "query", "-w", workflow, "--type", "progress", "-o", "json"))
    (answer,) = told["queryResult"]
    return dict(answer)


def listed(system: System, query: str, count: int) -> list[str]:
    """The workflows that a list filter finds; the index may lag a moment behind."""

    def look() -> list[str]:
        found = json.loads(system.cli("workflow", "list", "--query", query, "--limit", "1000", "-o", "json"))
        return [one["execution"]["workflowId"] for one in found or []]

    return eventually(lambda: found if len(found := look()) == count else [])
