"""Aligned tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postwerk.cli.client.terminal import safe, shortened, width

_GAP = "  "
_LEAST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A head; numbers stand at the right; `flexible` is cut first when the terminal is too narrow."""

    head: str
    right: bool = False
    flexible: bool = False


def columns(*heads: str) -> list[Column]:
    """Columns as text: ">" before a head means right, "~" flexible.

    >>> columns(">T", "~name")[0].right
    True
    """
    return [Column(head.lstrip(">~"), right=head[0] == ">", flexible=head[0] == "~") for head in heads]


def table(
    heads: Sequence[Column], rows: Iterable[Sequence[object]], room: int | None, *, titled: bool = True
) -> list[str]:
    """Lines of the table; `room` is the width it must fit, None: any. None in a cell is shown as "-"."""
    cells = [[_text(cell) for cell in row] for row in rows]
    if titled:
        cells.insert(0, [column.head for column in heads])
    wide = [max((width(row[index]) for row in cells), default=0) for index in range(len(heads))]
    if room is not None:
        wide = _fitted(heads, wide, room)
    return [_line(heads, row, wide) for row in cells]


def _text(cell: object) -> str:
    if cell is None or cell == "":
        return "-"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else safe(cell)


def _fitted(heads: Sequence[Column], wide: list[int], room: int) -> list[int]:
    """Flexible columns give up what is too much, the widest first."""
    too_much = sum(wide) + len(_GAP) * (len(wide) - 1) - room
    flexible = [index for index, column in enumerate(heads) if column.flexible]
    fitted = list(wide)
    while too_much > 0 and flexible:
        widest = max(flexible, key=lambda index: fitted[index])
        if fitted[widest] <= _LEAST:
            break
        fitted[widest] -= 1
        too_much -= 1
    return fitted


def _line(heads: Sequence[Column], row: Sequence[str], wide: Sequence[int]) -> str:
    shown = (
        _padded(shortened(cell, room) if column.flexible else cell, room, right=column.right)
        for column, cell, room in zip(heads, row, wide, strict=True)
    )
    return _GAP.join(shown).rstrip()


def _padded(cell: str, room: int, *, right: bool) -> str:
    space = " " * (room - width(cell))
    return space + cell if right else cell + space


def facts(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """One line for each named fact that is there."""
    known = [(name, safe(value)) for name, value in pairs if value is not None and value != ""]
    longest = max((len(name) for name, _ in known), default=0)
    return [f"{name:<{longest}}  {value}" for name, value in known]
