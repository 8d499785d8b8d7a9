"""What may be written to a terminal: other people's words made harmless, colours only where they are seen."""

from __future__ import annotations

import os
import sys
import unicodedata
from shutil import get_terminal_size
from typing import TextIO

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
_OF_STATES = {
    "delivered": "green",
    "completed": "green",
    "deferred": "yellow",
    "held": "yellow",
    "paused": "yellow",
    "bounced": "red",
    "expired": "red",
    "failed": "red",
    "unknown": "red",
    "cooling_down": "red",
    "suspended": "red",
    "recovering": "yellow",
}


def safe(text: object) -> str:
    """One line that does nothing to a terminal.

    A server's reply or somebody's name may hold escape sequences that move the cursor, or marks that turn the
    direction of writing: such characters are shown as their code.
    """
    words = str(text)
    return words if words.isprintable() else "".join(_shown(character) for character in words)


def safe_lines(text: str) -> str:
    """The same for a text of several lines; tabs stay."""
    return "\n".join("\t".join(map(safe, line.split("\t"))) for line in text.splitlines())


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":  # spaces that do not break, and the like
        return " "
    return character.encode("unicode_escape").decode()


def width(text: str) -> int:
    """Columns a text takes: East Asian letters take two, accents that stand on another letter none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, room: int) -> str:
    """The text, cut so that it takes at most `room` columns."""
    if width(text) <= room:
        return text
    while text and width(text) > room - 1:
        text = text[:-1]
    return text + "…"


def is_terminal(stream: TextIO | None = None) -> bool:
    return (stream or sys.stdout).isatty()


def room() -> int | None:
    """Columns of the terminal; None when the output goes elsewhere and need not fit."""
    return max(get_terminal_size().columns, 40) if is_terminal() else None


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if it is seen by somebody who wants colours (no-color.org)."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def by_state(text: str, state: str) -> str:
    """The text in the colour of a state, if that has one."""
    return coloured(text, _OF_STATES[state]) if state in _OF_STATES else text


def say(text: str) -> None:
    """A word to the person at the terminal, not part of the answer: on stderr."""
    print(text, file=sys.stderr, flush=True)
