"""`postwerk schedules`, and the options that say when, as a process against the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Desk, an_operators_desk

FILE = """
name: Weekly
spec: {cron: "0 8 * * mon", time_zone: Europe/Berlin}
bulk_send:
  from: Shop <news@shop.example>
  subject: Offers
  text: Dear customer,
  recipients: [{to: ada@example.com}, {to: bob@example.com}]
"""
SEND = (
    "send",
    "--from",
    "news@shop.example",
    "--subject",
    "x",
    "--text",
    "mail.txt",
    "--to",
    "ada@example.com",
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        (desk.cli.folder / "weekly.yaml").write_text(FILE)
        (desk.cli.folder / "mail.txt").write_text("hello")
        yield desk


def test_a_schedule_is_made_seen_paused_and_deleted(desk: Desk) -> None:
    made = desk.cli.json("schedules", "create", "weekly.yaml")
    assert (made["name"], made["bulk_send"]["recipients"]) == ("Weekly", 2)
    row = desk.cli("schedules", "list").stdout.splitlines()[1]
    assert row.split()[:3] == [made["id"], "active", "Weekly"]
    assert "0 8 * * mon Europe/Berlin" in desk.cli("schedules", "show", made["id"]).stdout
    assert desk.cli("schedules", "pause", made["id"], code=2).stderr  # it has to say why
    assert "paused: holidays" in desk.cli("schedules", "pause", made["id"], "--reason", "holidays").stdout
    assert "bulk_" in desk.cli("schedules", "trigger", made["id"]).stdout
    assert "active" in desk.cli("schedules", "resume", made["id"]).stdout
    assert desk.cli("schedules", "delete", made["id"], code=2).stderr  # nobody can be asked
    desk.cli("schedules", "delete", made["id"], "--yes")
    assert desk.cli.json_lines("schedules", "list") == []
    desk.cli("schedules", "show", made["id"], code=4)


def test_a_send_is_told_when(desk: Desk) -> None:
    window = "mon,sat-sun 22:00-06:00 Europe/Berlin"
    times = ("--at", "2029-12-01T08:00:00+01:00", "--expires", "2029-12-24T00:00:00Z", "--window", window)
    taken = desk.cli.json(*SEND, *times)
    assert taken["status"] == "scheduled"
    shown = desk.cli("bulk", "show", taken["id"]).stdout
    assert "2029-12-01 07:00:00" in shown
    assert "mon,sat,sun 22:00-06:00 Europe/Berlin" in shown
    listed = desk.cli.json_lines("bulk", "list", "--state", "scheduled")
    assert [one["id"] for one in listed] == [taken["id"]]
    changed = desk.cli.json("bulk", "change", taken["id"], "--at", "2029-12-02T08:00:00Z", "--window", "none")
    assert (changed["send_at"], changed["window"]) == ("2029-12-02T08:00:00Z", None)


@pytest.mark.parametrize(
    "window", ["always", "mon 9-18", "monday 09:00-18:00 UTC", "mon-fry 09:00-18:00 UTC"]
)
def test_what_is_no_window_is_told(desk: Desk, window: str) -> None:
    assert "mon-fri 09:00-18:00 Europe/Berlin" in desk.cli(*SEND, "--window", window, code=2).stderr
    assert desk.cli.json_lines("bulk", "list") == []
