"""`postwerk queue` and `send --watch` over real processes: what is seen is there, what is done is done."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.support.cli import USER, Cli
from tests.support.sandbox import eventually
from tests.support.system import System

MUCH_LATER = "initial=2h,maximum=2h"
CONTENT = ("--from", "Shop <news@shop.example>", "--subject", "Hello", "--text", "text.txt")


class Counter:
    """An operator's desk before a whole system; each test has bulk sends of its own."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.cli = Cli(system.house.api_url, system.data)
        (system.data / "text.txt").write_text("spring is here\n")

    def waiting(self, domain: str, count: int = 3) -> str:
        """The id of a bulk send of `count` messages, each deferred for two hours."""
        to = [f"--to=full+{n}@{domain}" for n in range(count)]
        bulk_id = str(self.cli.json("send", *CONTENT, *to, "--retry", MUCH_LATER, "--name", domain)["id"])
        eventually(lambda: self.states(bulk_id) == {"deferred": count}, 30)
        return bulk_id

    def states(self, bulk_id: str) -> dict[str, int]:
        return {state: number for state, number in self.system.view(bulk_id)["counts"].items() if number}


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with System(tmp_path_factory.mktemp("counter")) as system:
        yield Counter(system)


# Watching


@pytest.mark.timeout(90)
def test_a_send_is_watched_to_its_end(counter: Counter) -> None:
    done = counter.cli("send", *CONTENT, "--to", "ok@w.example", "--watch")
    assert re.search(r"completed after \d+s: 1 delivered \(bulk_\w+\)", done.stdout)
    done = counter.cli(
        "send", *CONTENT, "--to", "ok@w.example", "--to", "bounce@w.example", "--watch", code=1
    )
    assert "1 delivered, 1 bounced" in done.stdout
    bulk_id = re.findall(r"\((bulk_\w+)\)", done.stdout)[-1]
    view = counter.cli.json("bulk", "watch", bulk_id, code=1)
    assert view["counts"]["bounced"] == 1


@pytest.mark.timeout(90)
def test_ctrl_c_stops_watching_and_not_the_send(counter: Counter) -> None:
    bulk_id = counter.waiting("ctrlc.example", 1)
    process = subprocess.Popen(
        counter.cli.command("bulk", "watch", bulk_id),
        env=counter.cli.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    first = process.stderr.readline()
    assert "0 of 1" in first
    assert "1 deferred" in first
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == f"It goes on: postwerk bulk watch {bulk_id}"
    assert counter.states(bulk_id) == {"deferred": 1}


# Reading


@pytest.mark.timeout(90)
def test_the_queue_is_listed_as_postqueue_does(counter: Counter) -> None:
    bulk_id = counter.waiting("list.example")
    before = time.time()
    found = counter.cli.json_lines("queue", "list", "--bulk", bulk_id)
    assert [one["queue_id"] for one in found] == [f"{bulk_id}.{seq}" for seq in (1, 2, 3)]
    one = found[0]
    assert (one["queue_name"], one["forced_expire"]) == ("deferred", False)
    assert before - 120 < one["arrival_time"] <= before
    (recipient,) = one["recipients"]
    assert recipient["address"] == "full+0@list.example"
    assert recipient["delay_reason"].startswith("4")
    assert (one["state"], one["bulk_send"], one["bulk_name"]) == ("deferred", bulk_id, "list.example")
    shown = counter.cli("queue", "list", "--bulk", bulk_id).stdout.splitlines()
    assert shown[-1] == "-- 3 messages."
    assert shown[1].split()[0] == f"{bulk_id}.1"
    assert re.search(r"deferred, 1 attempt, next in [12]h.* \(452 4\.2\.2 Mailbox full\)", shown[2])


@pytest.mark.timeout(90)
def test_a_long_queue_is_paged(counter: Counter) -> None:
    bulk_id = counter.waiting("pages.example", 5)
    shown = counter.cli("queue", "list", "--bulk", bulk_id, "--limit", "2").stdout
    assert shown.count("@pages.example") == 2
    assert "--limit 0" in shown.splitlines()[-1]
    assert len(counter.cli.json_lines("queue", "list", "--bulk", bulk_id, "--limit", "0")) == 5


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("criteria", "matched"),
    [
        (["--domain", "filters.example"], 3),
        (["--recipient", "FULL+1@filters.example"], 1),
        (["--state", "deferred"], 3),
        (["--state", "held", "--state", "sending"], 0),
        (["--code", "4xx"], 3),
        (["--code", "550"], 0),
        (["--older-than", "1h"], 0),
        (["--younger-than", "1h"], 3),
        (["--provider", "gmail.com"], 0),
    ],
)
def test_criteria_find_what_they_say(counter: Counter, criteria: list[str], matched: int) -> None:
    view = counter.cli.json_lines("bulk", "list", "--limit", "0")
    known = [one["id"] for one in view if one["name"] == "filters.example"]
    bulk_id = known[0] if known else counter.waiting("filters.example")
    found = counter.cli.json("queue", "count", "--bulk", bulk_id, *criteria)
    assert found["count"] == sum(found["states"].values()) == matched
    words = counter.cli("queue", "count", "--bulk", bulk_id, *criteria).stdout
    assert words == (
        f"{matched} open message{'s' * (matched != 1)}" + (f": {matched} deferred" * (matched > 0)) + "\n"
    )


@pytest.mark.timeout(90)
def test_the_shape_of_the_queue(counter: Counter) -> None:
    bulk_id = counter.waiting("shape.example")
    found = counter.cli.json("queue", "shape", "--by", "bulk", "--buckets", "10,60")
    (row,) = [one for one in found["data"] if one["name"] == bulk_id]
    assert (row["total"], row["by_age"]) == (3, [3, 0, 0])
    lines = counter.cli("queue", "shape", "--by", "domain", "--limit", "0").stdout.splitlines()
    assert lines[0].split() == ["T", "5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"]
    assert lines[1].split()[0] == "TOTAL"
    (row_line,) = [line for line in lines if line.startswith("shape.example ")]
    assert row_line.split()[1:] == ["3", "3", *"000000000"]


@pytest.mark.timeout(90)
def test_a_message_is_shown_with_its_log_and_its_bytes(counter: Counter) -> None:
    name = f"{counter.waiting('show.example', 1)}.1"
    shown = counter.cli("queue", "show", name).stdout
    for words in (name, "full+0@show.example", "deferred", "#1 "):
        assert words in shown
    log = counter.cli("queue", "show", name, "--log").stdout.splitlines()
    assert len(log) == 2
    assert "deferred at" in log[0]
    (attempt,) = counter.cli.json("queue", "show", name, "--log")
    assert attempt["number"] == 1
    raw = counter.cli("queue", "show", name, "--raw").stdout
    headers = counter.cli("queue", "show", name, "--headers").stdout
    assert raw == counter.system.api.get(f"/v1/messages/{name}/content").text
    assert raw.startswith(headers)
    assert "spring is here" in raw
    assert "spring is here" not in headers


# Changing


@pytest.mark.timeout(90)
def test_messages_are_held_and_released(counter: Counter) -> None:
    bulk_id = counter.waiting("hold.example")
    dry = counter.cli("queue", "hold", "--domain", "hold.example", "--dry-run").stdout
    assert dry == "Would hold 3 messages (3 deferred).\n"
    done = counter.cli("queue", "hold", "--domain", "hold.example", "--reason", "wrong price")
    assert done.stdout.startswith("hold: 3 messages changed")
    assert counter.states(bulk_id) == {"held": 3}
    held = counter.cli.json_lines("queue", "list", "--bulk", bulk_id)
    assert {(one["queue_name"], one["mark"]) for one in held} == {("hold", "!")}
    assert f"{bulk_id}.1!" in counter.cli("queue", "list", "--bulk", bulk_id).stdout
    assert f"hold by {USER}" in counter.cli("queue", "show", f"{bulk_id}.1").stdout
    counter.cli("queue", "release", f"{bulk_id}.1", f"{bulk_id}.2")
    eventually(lambda: counter.states(bulk_id) == {"held": 1, "deferred": 2}, 30)


@pytest.mark.timeout(90)
def test_deferred_messages_are_tried_now(counter: Counter) -> None:
    bulk_id = counter.waiting("retry.example")
    counter.cli("queue", "retry", "--domain", "retry.example")
    eventually(lambda: [_attempts(counter, f"{bulk_id}.{seq}") for seq in (1, 2, 3)] == [2, 2, 2], 30)


def _attempts(counter: Counter, name: str) -> int:
    return int(counter.cli.json("queue", "show", name)["attempt_count"])


@pytest.mark.timeout(90)
@pytest.mark.parametrize(("verb", "state"), [("cancel", "cancelled"), ("expire", "expired")])
def test_messages_are_ended(counter: Counter, verb: str, state: str) -> None:
    bulk_id = counter.waiting(f"{verb}.example")
    operation = counter.cli.json("queue", verb, f"{bulk_id}.1", "--reason", "gone")  # one needs no --yes
    assert (operation["verb"], operation["state"], operation["changed"]) == (verb, "done", 1)
    assert counter.states(bulk_id) == {"deferred": 2, state: 1}
    counter.cli("queue", verb, "--domain", f"{verb}.example", "--reason", "gone", "--yes")
    eventually(lambda: counter.states(bulk_id) == {state: 3}, 30)
    again = counter.cli("queue", verb, f"{bulk_id}.1", "--reason", "gone", code=4)
    assert len(again.stderr.splitlines()) == 1


@pytest.mark.timeout(90)
def test_a_terminal_is_asked_with_the_number_of_messages(counter: Counter) -> None:
    bulk_id = counter.waiting("asked.example")
    arguments = ("queue", "cancel", "--domain", "asked.example", "--reason", "x")
    seen = _typed(counter, "n\n", *arguments)
    assert "Would cancel 3 messages (3 deferred)." in seen
    assert "Cancel 3 messages? [y/N]" in seen
    assert "Nothing was done." in seen
    assert counter.states(bulk_id) == {"deferred": 3}
    assert "cancel: 3 messages changed" in _typed(counter, "y\n", *arguments)


def _typed(counter: Counter, answer: str, *arguments: str) -> str:
    """What is seen at a terminal where this is typed."""
    leader, follower = pty.openpty()
    environment = counter.cli.environment(TERM="dumb")
    process = subprocess.Popen(
        counter.cli.command(*arguments), env=environment, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    os.write(leader, answer.encode())
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(leader)
    process.wait(30)
    return seen.decode()


@pytest.mark.timeout(90)
def test_nothing_that_matches_is_said(counter: Counter) -> None:
    done = counter.cli("queue", "hold", "--domain", "nowhere.example", "--reason", "x")
    assert "no message matched" in done.stdout


@pytest.mark.timeout(90)
def test_operations_are_remembered(counter: Counter) -> None:
    counter.waiting("remembered.example", 1)
    operation = counter.cli.json("queue", "hold", "--domain", "remembered.example", "--reason", "why not")
    listed = counter.cli.json_lines("operations", "list", "--limit", "5")
    assert operation["id"] in [one["id"] for one in listed]
    shown = counter.cli("operations", "show", operation["id"], "--wait").stdout
    for words in ("why not", USER, "remembered.example", "done"):
        assert words in shown
    (entry,) = [one for one in counter.cli.json_lines("audit") if one["operation"] == operation["id"]]
    assert (entry["action"], entry["by"], entry["reason"]) == ("queue.hold", USER, "why not")


# Bulk sends


@pytest.mark.timeout(90)
def test_a_bulk_send_pauses_resumes_and_changes(counter: Counter) -> None:
    bulk_id = counter.waiting("pause.example")
    counter.cli("bulk", "pause", bulk_id, "--reason", "wrong price")
    eventually(lambda: counter.system.view(bulk_id)["state"] == "paused")
    assert "wrong price" in counter.cli("bulk", "show", bulk_id).stdout
    counter.cli("bulk", "resume", bulk_id)
    eventually(lambda: counter.system.view(bulk_id)["state"] == "running")
    view = counter.cli.json("bulk", "change", bulk_id, "--rate", "7/s", "--name", "new", "--reason", "x")
    assert (view["rate"], view["name"]) == ("7/s", "new")
    assert counter.cli.json("bulk", "change", bulk_id, "--rate", "none", "--reason", "x")["rate"] is None
    before = datetime.fromisoformat(view["deadline"])
    counter.cli("bulk", "change", bulk_id, "--deadline", "6d")
    eventually(lambda: datetime.fromisoformat(counter.system.view(bulk_id)["deadline"]) > before)
    assert counter.cli.json("bulk", "change", bulk_id, "--retry", "1m,5m")["retry"]["waits"] == [60.0, 300.0]


@pytest.mark.timeout(90)
def test_what_failed_is_started_again(counter: Counter) -> None:
    to = ("--to", "bounce+1@again.example", "--to", "ok@again.example")
    view: dict[str, Any] = counter.cli.json("send", *CONTENT, *to, "--watch", code=1)
    dry = counter.cli("bulk", "retry-failed", view["id"], "--dry-run", "--code", "5xx").stdout
    assert dry == "Would retry-failed 1 message (1 bounced).\n"
    done = counter.cli("bulk", "retry-failed", view["id"], "--reason", "mailbox is back")
    assert "1 message changed" in done.stdout
    eventually(lambda: counter.cli.json("queue", "show", f"{view['id']}.1")["attempt_count"] == 2, 30)


@pytest.mark.timeout(90)
def test_top_shows_it_all(counter: Counter) -> None:
    counter.waiting("top.example")
    shown = counter.cli("top", "--once").stdout
    for words in ("deferred", "top.example", "relay "):
        assert words in shown
    document = counter.cli.json("top", "--once")
    assert document["queue"]["count"] >= 3
