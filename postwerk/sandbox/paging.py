"""Three tables as one list, newest first, a page at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from postwerk.sandbox.inbox_rows import Entry
from postwerk.sandbox.reference import KINDS, Kind

_NEWEST = 2**62
_LONGEST_SEARCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: of each kind, below this number."""

    message: int = _NEWEST
    refusal: int = _NEWEST
    abandoned: int = _NEWEST

    def __str__(self) -> str:
        return ".".join(str(self.of(kind)) for kind in KINDS)

    def of(self, kind: Kind) -> int:
        number: int = getattr(self, kind)
        return number

    @classmethod
    def parse(cls, written: str) -> Self | None:
        parts = written.split(".")
        if len(parts) != len(KINDS) or not all(_is_number(part) for part in parts):
            return None
        return cls(*map(int, parts))


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list."""

    entries: list[Entry]
    following: Cursor | None
    """Where the next part begins; None at the end."""
    complete: bool = True
    """False: reading mails took too long, and what comes before `following` was not looked at."""


@dataclass(slots=True)
class Patience:
    """How long mails are read for one page."""

    gave_up_at: int | None = None
    """Messages below this number were not looked at."""
    _until: float = field(default_factory=lambda: time.monotonic() + _LONGEST_SEARCH_SECONDS)

    def is_over(self) -> bool:
        return time.monotonic() > self._until


def page_of(
    found: Mapping[Kind, Sequence[Entry]], before: Cursor, limit: int, gave_up_at: int | None
) -> Page:
    """The newest of what was found of each kind (one more than `limit`, if there were so many)."""
    shown = _newest_of(found, limit)
    if len(shown) == sum(map(len, found.values())) and gave_up_at is None:
        return Page(shown, None)
    last = {kind: min([before.of(kind), *(one.id for one in shown if one.kind == kind)]) for kind in KINDS}
    if gave_up_at is not None and len(shown) < limit:
        last["message"] = min(last["message"], gave_up_at)
    return Page(shown, Cursor(**last), gave_up_at is None)


def _newest_of(found: Mapping[Kind, Sequence[Entry]], limit: int) -> list[Entry]:
    """Merged by time; each kind keeps its own order, which its numbers say."""
    waiting = {kind: list(reversed(entries)) for kind, entries in found.items() if entries}
    shown: list[Entry] = []
    while waiting and len(shown) < limit:
        kind = max(waiting, key=lambda one: waiting[one][-1].at)
        shown.append(waiting[kind].pop())
        if not waiting[kind]:
            del waiting[kind]
    return shown


def _is_number(written: str) -> bool:
    return written.isascii() and written.isdecimal() and len(written) <= 19 and int(written) <= _NEWEST
