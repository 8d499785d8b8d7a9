"""docs/operations.md as a test reads it: its tables of commands, and its sessions at a prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_CELLS = re.compile(r"(?<!\\)\|")
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?"), "<moment>"),
    (re.compile(r"\b[A-Z][a-z]{2} +\d\d? \d\d:\d\d:\d\d"), "<moment>"),
    (re.compile(r"\b\d\d:\d\d UTC"), "<moment>"),
    (re.compile(r"\b(\d+[dhms])+\b"), "<time>"),
    (re.compile(r"\b(now|\d+ (second|minute)s? ago)\b"), "<ago>"),
    (re.compile(r"\b(bulk|op|aud|sus)_[0-9a-z]{26}\b"), r"\1_..."),
    (re.compile(r"127\.0\.0\.1:\d+"), "<host>"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: what they type, what one types here, and the same over HTTP."""

    theirs: tuple[str, ...]
    ours: str
    http: str


@dataclass(frozen=True, slots=True)
class Step:
    """A command at the prompt, and what it prints: `...` stands for anything."""

    command: str
    output: str


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading."""

    title: str
    rows: tuple[Row, ...]
    steps: tuple[Step, ...]


def sections(text: str) -> list[Section]:
    """Those that have a command in them."""
    parts = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)
    found = [
        Section(title, tuple(_rows(body)), tuple(_steps(body)))
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    ]
    return [section for section in found if section.rows or section.steps]


def stray_prompts(text: str) -> list[str]:
    """Lines that look like a command and stand where nobody runs them."""
    return [line for line in _BLOCK.sub("", text).splitlines() if line.startswith("$ ")]


def agrees(shown: str, printed: str) -> bool:
    """Blanks and what differs each time aside."""
    pieces = (re.escape(_plain(piece)) for piece in _settled(shown).split("..."))
    return (
        re.fullmatch(".*?".join(pieces), _plain(_settled(printed).replace("...", "")), re.DOTALL) is not None
    )


def _settled(text: str) -> str:
    for pattern, instead in _VOLATILE:
        text = pattern.sub(instead, text)
    return text


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _rows(body: str) -> Iterator[Row]:
    """Of tables with three columns, of which the second is a `postwerk` command."""
    for line in body.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in _CELLS.split(line)[1:-1]]
        if len(cells) == 3 and "`postwerk " in cells[1]:
            (ours,), (http,) = _CODE.findall(cells[1]), _CODE.findall(cells[2])
            yield Row(tuple(_CODE.findall(cells[0])), ours, http)


def _steps(body: str) -> Iterator[Step]:
    for block in _BLOCK.findall(body):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield Step(*_apart(step))


def _apart(step: str) -> tuple[str, str]:
    r"""A command goes on below a line that ends with a backslash."""
    command, lines = "", step.splitlines(keepends=True)
    while lines:
        command += lines.pop(0)
        if not command.endswith("\\\n"):
            break
    return command.rstrip("\n"), "".join(lines)
