"""`postwerk lanes`, `relay` and `suppressions`, as a process against the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import a_bulk_send
from tests.support.cli import USER, Desk, an_operators_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        yield desk


# Lanes


def test_a_lane_is_limited_for_a_while_and_freed(desk: Desk) -> None:
    limits = ("--rate", "30/min", "--connections", "3", "--for", "7d")
    done = desk.cli("lanes", "set", "googlemail.com", *limits, "--reason", "a new IP address")
    assert "rate                     30/min (operator)" in done.stdout
    lane = desk.cli.json("lanes", "show", "gmail.com")
    assert (lane["override"]["rate"], lane["override"]["connections"]) == ("30/min", 3)
    assert lane["override"]["until"]
    lane = desk.cli.json("lanes", "set", "gmail.com", "--none", "--reason", "enough")
    assert lane["override"] is None


def test_a_lane_rests_and_resumes(desk: Desk) -> None:
    lane = desk.cli.json("lanes", "rest", "gmx.de", "--for", "30m", "--reason", "they asked")
    assert (lane["state"], lane["cool_down"]["reason"]) == ("cooling_down", "they asked")
    listed = desk.cli("lanes").stdout.splitlines()
    assert listed[0].split()[:3] == ["lane", "state", "queued"]
    assert listed[1].split()[:2] == ["gmx.net", "cooling_down"]
    assert listed[-1] == "-- relay default: working"
    assert desk.cli.json("lanes", "resume", "gmx.de", "--reason", "all well")["state"] == "free"
    assert "until" not in desk.cli("lanes", "show", "gmx.de").stdout


def test_lanes_are_listed_as_json_lines(desk: Desk) -> None:
    desk.api.http.post("/v1/bulk-sends", json=a_bulk_send())
    known = {lane["lane"] for lane in desk.cli.json_lines("lanes", "list", "--all")}
    assert {"gmail.com", "yahoo.com"} < known
    assert {lane["lane"] for lane in desk.cli.json_lines("lanes")} < known
    assert known == {lane["lane"] for lane in desk.cli.json_lines("lanes", "--all")}


def test_the_relay_rests_and_is_tried_again(desk: Desk) -> None:
    assert "working" in desk.cli("relay").stdout
    relay = desk.cli.json("relay", "rest", "--for", "1h", "--reason", "new certificates")
    assert relay["state"] == "cooling_down"
    assert "new certificates" in desk.cli("relay", "show").stdout
    assert desk.cli.json("relay", "resume", "--reason", "done")["state"] == "working"


def test_another_relay_has_lanes_of_its_own(desk: Desk) -> None:
    for arguments in (["relay", "show"], ["relay"], ["lanes"], ["top", "--once"], ["lanes", "list"]):
        assert "known are default" in desk.cli(*arguments, "--relay", "nowhere", code=4).stderr
        desk.cli(*arguments, "--relay", "default")
    desk.cli("lanes", "rest", "gmx.de", "--for", "1h", "--reason", "x", "--relay", "default")
    assert "cooling_down" in desk.cli("lanes", "--relay", "default", "list").stdout


# Suppressions


def test_addresses_are_listed_found_and_taken_off(desk: Desk) -> None:
    desk.cli("suppressions", "add", "Ada@Example.com", "--reason", "complaint", "--detail", "by phone")
    done = desk.cli("suppressions", "add", "bob@example.com", "nobody", "ada@example.com", code=1)
    assert done.stdout == "1 added, 1 listed before, 1 refused.\n"
    assert "nobody" in done.stderr
    (entry,) = desk.cli.json_lines("suppressions", "list", "--search", "ada")
    assert (entry["reason"], entry["detail"]) == ("complaint", "by phone")
    assert "by phone" in desk.cli("suppressions", "show", "ada@example.com").stdout
    desk.cli("suppressions", "remove", "ada@example.com", "bob@example.com")
    assert desk.cli.json_lines("suppressions", "list") == []
    assert (
        "not on the suppression list" in desk.cli("suppressions", "remove", "ada@example.com", code=4).stderr
    )


def test_a_list_is_imported_whatever_its_length(desk: Desk) -> None:
    rows = "".join(f'user{n}@example.com,complaint,"{"x" * 900}"\n' for n in range(6000))  # more than a part
    done = desk.cli(
        "suppressions",
        "import",
        "-",
        stdin=f"address,reason,detail\nnobody,,\n{rows}user1@example.com,,\n",
        code=1,
    )
    assert done.stdout == "6,000 added, 1 listed before, 1 refused.\n"
    assert "stdin, row 2: nobody" in done.stderr
    assert len(desk.cli.json_lines("suppressions", "list", "--limit", "0")) == 6000
    shown = desk.cli("suppressions", "list", "--limit", "5")
    assert len(shown.stdout.splitlines()) == 6
    assert "--limit 0" in shown.stderr


def test_the_person_at_the_command_line_is_named(desk: Desk) -> None:
    """In the override of a lane, for who looks at it later."""
    desk.cli("lanes", "set", "gmx.de", "--rate", "1/s", "--reason", "x")
    assert desk.cli.json("lanes", "show", "gmx.de")["override"]["set_by"] == USER
