"""What the operator's commands write: harmless, aligned, and short enough."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from postwerk.cli.client.moments import length, since, until
from postwerk.cli.client.progress import bar
from postwerk.cli.client.tables import columns, facts, table
from postwerk.cli.client.terminal import safe, safe_lines, shortened, width


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("550 no such user", "550 no such user"),
        ("Grüße, 田中 🎉", "Grüße, 田中 🎉"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),  # clears the screen
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),  # renames the window
        ("a\r\nb", "a\\r\\nb"),
        ("\x9b31m", "\\x9b31m"),  # CSI in one character (C1)
        ("\u202egro.elpmaxe", "\\u202egro.elpmaxe"),  # turns the direction of writing
        ("\ud800", "\\ud800"),  # half a surrogate pair out of JSON
        ("a\u00a0b", "a b"),
        ("\x7f\x00", "\\x7f\\x00"),
    ],
)
def test_other_peoples_words_do_nothing_to_a_terminal(given: str, shown: str) -> None:
    assert safe(given) == shown


def test_a_text_of_several_lines_keeps_its_lines_and_tabs() -> None:
    assert safe_lines("a\tb\r\n\x1b[1m\n") == "a\tb\n\\x1b[1m"


def test_a_table_is_aligned_whatever_letters_it_holds() -> None:
    lines = table(columns("name", ">n"), [["田中", 7], ["e\u0301", 1234], [None, None]], None)
    assert lines == ["name      n", "田中      7", "e\u0301     1,234", "-         -"]
    assert {width(line) for line in lines} == {11}


def test_flexible_columns_give_way_so_that_a_table_fits() -> None:
    rows = [["lane" * 5, 12, "a very long reply " * 10], ["x", 1, "short"]]
    lines = table(columns("~lane", ">n", "~reply"), rows, 60)
    assert all(width(line) <= 60 for line in lines)
    assert lines[1].startswith("lane" * 5)  # the widest gave way, not this one
    assert lines[1].endswith("…")
    assert lines[2].split() == ["x", "1", "short"]


def test_a_table_escapes_what_its_cells_hold() -> None:
    assert table(columns("name"), [["\x1b[31mred"]], None)[1] == "\\x1b[31mred"
    assert facts([("name", "a\nb"), ("none", None), ("empty", ""), ("zero", 0)]) == ["name  a\\nb", "zero  0"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (-5, "0s"), (59.9, "59s"), (60, "1m"), (3725, "1h2m"), (86400 * 3 + 59, "3d"), (None, "")],
)
def test_a_length_of_time_has_at_most_two_units(seconds: float | None, words: str) -> None:
    assert length(seconds) == words


def test_times_are_told_from_now() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert since(now, "2026-11-22T09:48:00Z") == "2h12m"
    assert until(now, "2026-11-22T13:00:05+01:00") == "5s"
    assert until(now, None) == since(now, None) == ""


def test_a_text_is_cut_by_columns() -> None:
    assert shortened("田中田中", 5) == "田中…"
    assert shortened("abcde", 5) == "abcde"


@pytest.mark.parametrize(
    ("done", "total", "drawn"),
    [(0, 3, "[....]"), (2, 4, "[##..]"), (4, 4, "[####]"), (9, 4, "[####]"), (0, 0, "[####]")],
)
def test_a_bar_is_never_longer_than_itself(done: int, total: int, drawn: str) -> None:
    assert bar(done, total, 4) == drawn
