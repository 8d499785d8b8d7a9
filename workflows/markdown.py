"""Pieces of Markdown as Temporal's Web UI shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

_GAP = "\N{EN SPACE}"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table; "" without rows. `right`: the columns that hold numbers.

    The Web UI leaves no room between columns, and Markdown drops usual spaces: so there is a wider one.
    """
    columns = range(len(head))
    lines = [
        "|".join(f" {_GAP}{cell} " if column in right else f" {cell}{_GAP} " for column, cell in cells)
        for cells in (enumerate(_cell(cell) for cell in row) for row in (head, *rows))
    ]
    ruler = "|".join(" ---: " if column in right else " --- " for column in columns)
    return "\n".join(f"|{line}|" for line in (lines[0], ruler, *lines[1:])) if lines[1:] else ""


def facts(*told: tuple[str, str]) -> str:
    """One on each line."""
    return "\n".join(f"- {name}: {value}" for name, value in told if value)


def commands(workflow_id: str, *told: tuple[str, str]) -> str:
    """What to type about a workflow, and what for. Its id stands once: the Web UI cuts long lines."""
    lines = [f"# {what}\ntemporal workflow {words}" for what, words in told]
    return "\n".join(["```", f"ID={workflow_id}", *lines, "```"])


def moment(at: datetime) -> str:
    """To the second.

    >>> moment(datetime(2026, 11, 22, 9, 5, 1, 7, tzinfo=UTC))
    '2026-11-22 09:05:01 UTC'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(n: int, thing: str) -> str:
    """
    >>> number(12480, "recipient"), number(1, "message")
    ('12,480 recipients', '1 message')
    """
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def days(length: timedelta) -> str:
    """
    >>> days(timedelta(days=5)), days(timedelta(hours=1, minutes=30)), days(timedelta(seconds=90.2))
    ('5 days', '1 h 30 min', '1 min 30 s')
    """
    seconds = round(length.total_seconds())
    if seconds >= 2 * _DAY and seconds % _DAY == 0:
        return f"{seconds // _DAY} days"
    parts = (
        (seconds // _DAY, "d"),
        (seconds % _DAY // _HOUR, "h"),
        (seconds % _HOUR // _MINUTE, "min"),
        (seconds % _MINUTE, "s"),
    )
    return " ".join([f"{n:,} {unit}" for n, unit in parts if n][:2]) or "0 s"


def one_line(words: str) -> str:
    """What a person has written: no line of it starts a heading, a list or another row."""
    return " ".join(words.split())


def _cell(words: str) -> str:
    return one_line(words.replace("|", "/"))
