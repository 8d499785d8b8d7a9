"""What the commands make of answers a real API gives seldom: long operations, restarts, hostile texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.scripted_api import Answer, ScriptedApi

AT = "2026-11-22T03:24:05Z"
EVIL = "450 \x1b]0;owned\x07\x1b[2J\u202e busy"


def an_operation(state: str, changed: int = 0, **more: Any) -> dict[str, Any]:
    operation = {"object": "operation", "id": "op_1", "verb": "hold", "state": state, "filter": {"bulk": "b"}}
    operation |= {"reason": "why not", "by": "ada", "matched": 500, "changed": changed, "skipped": 0}
    return operation | {"created_at": AT, "finished_at": None, "detail": "", "links": {}} | more


def a_message(**changes: Any) -> dict[str, Any]:
    message = {"object": "message", "id": "bulk_x.1", "bulk_send": "bulk_x", "bulk_name": "spring", "seq": 1}
    message |= {"to": "ada@example.com", "name": "", "lane": "example.com", "state": "deferred", "mark": ""}
    message |= {"reason": "busy", "attempt_count": 1, "deferrals": 1, "next_attempt_at": AT, "age": 1.5}
    message |= {"accepted_at": AT, "deadline": AT, "operation": None, "waits_for": None, "changed_at": AT}
    reply = {"stage": "rcpt", "code": 450, "enhanced": None, "text": "busy"}
    return message | {"possible_duplicate": False, "last_reply": reply} | changes


def a_dry_run(matched: int) -> Answer:
    found = {"object": "dry_run", "verb": "cancel", "matched": matched, "states": {"deferred": matched}}
    return 200, {**found, "bulk_sends": 1}


def a_page(*entries: dict[str, Any], next: str | None = None) -> Answer:
    return 200, {"object": "list", "has_more": next is not None, "next": next, "data": list(entries)}


HOLD = ("queue", "hold", "--bulk", "b", "--reason", "why not")


def test_a_long_operation_is_followed_to_its_end(tmp_path: Path) -> None:
    script = [(200, an_operation("running", 100)), (200, an_operation("done", 500))]
    with ScriptedApi(
        {"POST /v1/queue/hold": [(202, an_operation("running"))], "GET /v1/operations/op_1": script}
    ) as api:
        done = Cli(api.url, tmp_path)(*HOLD)
    assert done.stdout == "hold: 500 messages changed (op_1).\n"
    assert "0 of 500" in done.stderr
    assert api.asked[0] == ("POST /v1/queue/hold", {"filter": {"bulk": "b"}, "reason": "why not"})
    assert len(api.asked) == 3


def test_a_long_operation_need_not_be_waited_for(tmp_path: Path) -> None:
    with ScriptedApi({"POST /v1/queue/hold": [(202, an_operation("running"))]}) as api:
        assert Cli(api.url, tmp_path)(*HOLD, "--no-wait").stdout == "hold: under way (op_1).\n"
        assert Cli(api.url, tmp_path).json(*HOLD, "--no-wait")["id"] == "op_1"
    assert len(api.asked) == 2


def test_an_operation_that_failed_ends_with_1(tmp_path: Path) -> None:
    failed = an_operation("failed", 3, detail="the archive went away")
    with ScriptedApi(
        {"POST /v1/queue/hold": [(202, an_operation("running"))], "GET /v1/operations/op_1": [(200, failed)]}
    ) as api:
        done = Cli(api.url, tmp_path)(*HOLD, code=1)
        assert Cli(api.url, tmp_path)("operations", "show", "op_1").returncode == 0  # it was shown
        Cli(api.url, tmp_path)("operations", "show", "op_1", "--wait", code=1)
    assert done.stdout == "hold: FAILED: 3 messages changed (op_1). the archive went away\n"


def test_a_restart_of_the_api_ends_nobodys_watch(tmp_path: Path) -> None:
    away: Answer = (503, {"detail": "The archive does not answer.", "status": 503})
    script = [away, (200, an_operation("done", 500))]
    with ScriptedApi(
        {"POST /v1/queue/hold": [(202, an_operation("running"))], "GET /v1/operations/op_1": script}
    ) as api:
        assert "500 messages changed" in Cli(api.url, tmp_path)(*HOLD).stdout


@pytest.mark.parametrize(
    ("arguments", "call", "body"),
    [
        (["retry", "b.1"], "POST /v1/messages/b.1/retry", None),
        (["hold", "b.1", "--reason", "x"], "POST /v1/messages/b.1/hold", {"reason": "x"}),
        (["cancel", "b.1", "--reason", "x"], "POST /v1/messages/b.1/cancel", {"reason": "x"}),
        (["retry", "b.1", "b.2"], "POST /v1/queue/retry", {"filter": {"ids": ["b.1", "b.2"]}}),
        (["retry", "--all"], "POST /v1/queue/retry", {"filter": {"all": True}}),
        (
            ["retry", "b.1", "--dry-run"],
            "POST /v1/queue/retry",
            {"filter": {"ids": ["b.1"]}, "dry_run": True, "reason": "dry run"},
        ),
        (
            ["cancel", "--provider", "gmail.com", "--code", "4xx", "--reason", "x", "--yes"],
            "POST /v1/queue/cancel",
            {"filter": {"provider": "gmail.com", "code": "4xx"}, "reason": "x"},
        ),
    ],
)
def test_an_order_says_exactly_what_was_asked(
    tmp_path: Path, arguments: list[str], call: str, body: dict[str, Any] | None
) -> None:
    answers = [a_dry_run(1)] if "--dry-run" in arguments else [(200, an_operation("done", 1))]
    with ScriptedApi({call: answers}) as api:
        Cli(api.url, tmp_path)("queue", *arguments)
    assert api.asked == [(call, body or {})]


def test_criteria_are_asked_for_as_parameters(tmp_path: Path) -> None:
    with ScriptedApi({"GET /v1/queue/messages": [a_page()]}) as api:
        criteria = (
            "b.1",
            "--id",
            "b.2",
            "--state",
            "held",
            "--older-than",
            "2d",
            "--reason-is",
            "greylisted",
        )
        assert Cli(api.url, tmp_path)("queue", "list", *criteria).stdout == "The queue is empty.\n"
    ((asked, _),) = api.asked
    wanted = "ids=b.1&ids=b.2&state=held&reason=greylisted&older_than=2d&limit=100"
    assert asked == f"GET /v1/queue/messages?{wanted}"


def test_pages_follow_one_another(tmp_path: Path) -> None:
    pages = [a_page(a_message(), next="c1"), a_page(a_message(id="bulk_x.2"), next="c2"), a_page()]
    with ScriptedApi({"GET /v1/queue/messages": pages}) as api:
        found = Cli(api.url, tmp_path).json_lines("queue", "list", "--limit", "0")
    assert [one["queue_id"] for one in found] == ["bulk_x.1", "bulk_x.2"]
    assert [asked.partition("?")[2] for asked, _ in api.asked] == [
        "limit=1000",
        "limit=1000&after=c1",
        "limit=1000&after=c2",
    ]


def test_a_list_in_json_has_the_keys_of_postqueue(tmp_path: Path) -> None:
    expiring = {"id": "op_1", "verb": "expire", "by": "ada", "reason": "x", "at": AT}
    messages = [
        a_message(),
        a_message(state="queued", last_reply=None, reason=None, waits_for={"detail": "lane rests"}),
        a_message(state="held", mark="!"),
        a_message(state="sending", mark="*", operation=expiring),
    ]
    with ScriptedApi({"GET /v1/queue/messages": [a_page(*messages)]}) as api:
        found = Cli(api.url, tmp_path).json_lines("queue", "list")
    assert [one["queue_name"] for one in found] == ["deferred", "active", "hold", "active"]
    assert [one["forced_expire"] for one in found] == [False, False, False, True]
    assert found[0]["arrival_time"] == 1795317845
    assert found[0]["recipients"] == [{"address": "ada@example.com", "delay_reason": "450 busy"}]
    assert found[1]["recipients"] == [{"address": "ada@example.com", "delay_reason": "lane rests"}]
    assert found[3]["mark"] == "*"


def test_a_servers_reply_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    reply = {"stage": "rcpt", "code": 450, "enhanced": "4.0.0", "text": EVIL}
    attempt = {"number": 1, "started_at": AT, "milliseconds": 5, "outcome": "deferred", "reason": "busy"}
    attempt |= {"stage": "rcpt", "code": 450, "enhanced": "", "text": EVIL, "host": EVIL, "tls": ""}
    shown = a_message(last_reply=reply, attempts=[attempt], variables={}, metadata=None, links={})
    refusal = (422, {"detail": EVIL, "errors": [{"pointer": "#/x", "detail": EVIL}], "status": 422})
    answers = {
        "GET /v1/queue/messages": [a_page(a_message(last_reply=reply, to=EVIL, id=EVIL))],
        "GET /v1/messages/bulk_x.1": [(200, shown)],
        "GET /v1/queue/count": [refusal],
    }
    with ScriptedApi(answers) as api:
        cli = Cli(api.url, tmp_path)
        seen = [cli("queue", "list").stdout, cli("queue", "show", "bulk_x.1").stdout]
        seen += [cli("queue", "show", "bulk_x.1", "--log").stdout, cli("queue", "count", code=4).stderr]
        (line,) = cli("queue", "list", "--json").stdout.splitlines()
    for text in seen:
        assert "owned" in text
        assert all(character.isprintable() or character == "\n" for character in text)
    assert line.isascii()
    assert EVIL in json.loads(line)["recipients"][0]["delay_reason"]


def test_the_shape_is_a_table_of_ages(tmp_path: Path) -> None:
    def row(name: str, *by_age: int, **more: Any) -> dict[str, Any]:
        return {"name": name, "total": sum(by_age), "by_age": list(by_age), **more}

    found = {"object": "queue_summary", "by": "bulk", "as_of": AT, "buckets": [5, 60], "has_more": False}
    rows = [row("bulk_x", 1000, 0, 200, bulk_name="spring"), row("bulk_y", 0, 3, 0, bulk_name="")]
    document = {**found, "total": row("", 1000, 3, 200), "data": rows}
    with ScriptedApi({"GET /v1/queue/summary": [(200, document)]}) as api:
        shown = Cli(api.url, tmp_path)("queue", "shape", "--by", "bulk", "--buckets", "5,60").stdout
    assert shown.splitlines() == [
        "                   T      5  60  60+",
        "TOTAL          1,203  1,000   3  200",
        "spring bulk_x  1,200  1,000   0  200",
        "bulk_y             3      0   3    0",
    ]
    assert api.asked == [("GET /v1/queue/summary?by=bulk&buckets=5%2C60&limit=50", None)]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["--rate", "none", "--reason", "x"], {"rate": None, "reason": "x"}),
        (["--relay", "backup", "--deadline", "3d"], {"relay": "backup", "deadline": "3d"}),
        (["--relay", "none", "--name", "none"], {"relay": None, "name": "none"}),
        (["--retry", "1m,1h"], {"retry": {"waits": ["1m", "1h"]}}),
    ],
)
def test_a_change_names_only_what_changes(tmp_path: Path, arguments: list[str], body: dict[str, Any]) -> None:
    refusal = (409, {"detail": "It has ended.", "status": 409})
    with ScriptedApi({"PATCH /v1/bulk-sends/bulk_x": [refusal]}) as api:
        Cli(api.url, tmp_path)("bulk", "change", "bulk_x", *arguments, code=4)
    assert api.asked == [("PATCH /v1/bulk-sends/bulk_x", body)]


def test_failures_are_started_again_by_state_and_criteria(tmp_path: Path) -> None:
    call = "POST /v1/bulk-sends/bulk_x/retry-failed"
    with ScriptedApi({call: [(202, an_operation("done", 2, verb="retry_failed"))]}) as api:
        arguments = (
            "--state",
            "cancelled",
            "--state",
            "bounced",
            "--code",
            "550",
            "--reason-is",
            "user_unknown",
        )
        done = Cli(api.url, tmp_path)("bulk", "retry-failed", "bulk_x", *arguments, "--reason", "x")
    filter = {"code": 550, "reason": "user_unknown"}
    assert api.asked == [(call, {"filter": filter, "states": ["cancelled", "bounced"], "reason": "x"})]
    assert done.stdout == "retry-failed: 2 messages changed (op_1).\n"


def test_an_api_of_another_version_is_told_in_one_line(tmp_path: Path) -> None:
    with ScriptedApi({"GET /v1/queue/messages": [a_page({"object": "message", "id": "x.1"})]}) as api:
        (line,) = Cli(api.url, tmp_path)("queue", "list", code=3).stderr.splitlines()
    assert "another version" in line
