"""Lines that are drawn again and again in a terminal, and now and then elsewhere. They go to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from shutil import get_terminal_size
from typing import Self

from postwerk.cli.client.terminal import is_terminal, shortened

BAR_WIDTH = 30
_PLAIN_EVERY_SECONDS = 5.0


class LiveLines:
    """`with LiveLines() as live: live.show(["half done"])`. In a terminal nothing of it stays."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = is_terminal(sys.stderr)
        self._clock = clock
        self._due = 0.0
        self._drawn = 0

    def show(self, lines: Sequence[str]) -> None:
        if self._terminal:
            room = get_terminal_size().columns - 1
            self._write(self._back() + "\n".join(shortened(line, room) for line in lines))
            self._drawn = len(lines)
        elif self._clock() >= self._due:
            self._due = self._clock() + _PLAIN_EVERY_SECONDS
            self._write("; ".join(line.strip() for line in lines) + "\n")

    def _back(self) -> str:
        """To where the first line began, and everything after it erased."""
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        return f"\r{up}\x1b[J"

    def _write(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._drawn:
            self._write(self._back())
            self._drawn = 0


def bar(done: int, total: int, columns: int = BAR_WIDTH) -> str:
    """ "[##..]", full when there is nothing to do.

    >>> bar(1, 2, 4)
    '[##..]'
    """
    full = columns * min(done, total) // total if total else columns
    return f"[{'#' * full}{'.' * (columns - full)}]"
