"""`postwerk suspend` and `audit`, as a process against the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import USER, Desk, an_operators_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        yield desk


def test_a_domain_is_suspended_seen_and_freed(desk: Desk) -> None:
    done = desk.cli("suspend", "GMX.de", "--for", "30m", "--reason", "their mail server moves")
    assert "gmx.de" in done.stdout
    (one,) = desk.cli.json_lines("suspend", "list")
    assert (one["domain"], one["provider"], one["by"], one["active"]) == ("gmx.de", None, USER, True)
    row = desk.cli("suspend", "list").stdout.splitlines()[1]
    assert row.split()[:3] == [one["id"], "gmx.de", "yes"]
    assert desk.cli.json("suspend", "end", one["id"])["active"] is False
    assert desk.cli.json_lines("suspend", "list") == []
    assert [ended["ended_by"] for ended in desk.cli.json_lines("suspend", "list", "--ended")] == [USER]
    assert f"by {USER}" in desk.cli("suspend", "show", one["id"]).stdout


def test_a_provider_is_suspended(desk: Desk) -> None:
    one = desk.cli.json("suspend", "--provider", "googlemail.com", "--for", "1h", "--reason", "x")
    assert (one["domain"], one["provider"]) == (None, "gmail.com")
    assert "provider gmail.com" in desk.cli("suspend", "list").stdout
    assert f"by {USER}: x" in desk.cli("lanes", "show", "gmail.com").stdout
    assert desk.cli("lanes").stdout.splitlines()[1].split()[:2] == ["gmail.com", "suspended"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["end", "sus_nothing"],
        ["no domain", "--for", "1m", "--reason", "x"],
        ["x.example", "--for", "9y", "--reason", "x"],
    ],
)
def test_what_cannot_be_suspended_is_told(desk: Desk, arguments: list[str]) -> None:
    assert len(desk.cli("suspend", *arguments, code=4).stderr.splitlines()) == 1


def test_the_audit_trail_says_who_did_what_and_why(desk: Desk) -> None:
    desk.cli("lanes", "rest", "gmx.de", "--for", "1h", "--reason", "they asked", "--user", "bob")
    desk.cli("suspend", "gmx.de", "--for", "30m", "--reason", "it moves")
    desk.cli("suppressions", "add", "ada@example.com")
    entries = desk.cli.json_lines("audit")
    assert [(one["action"], one["by"]) for one in entries] == [
        ("suppression.add", USER),
        ("suspension.create", USER),
        ("lane.set", "bob"),
    ]
    assert [one["reason"] for one in desk.cli.json_lines("audit", "--by", "bob")] == ["they asked"]
    assert [one["action"] for one in desk.cli.json_lines("audit", "--action", "lane.set")] == ["lane.set"]
    assert "it moves" in desk.cli("audit", "--limit", "2").stdout
