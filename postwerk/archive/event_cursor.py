"""Where a reader of events stands; as text it is the id of the last one it has seen."""

from __future__ import annotations

import re
from typing import NamedTuple

from postwerk.errors import InvalidRequest

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}
_ID = re.compile(r"evt_([01][0-9a-hjkmnp-tv-z]{25})", re.ASCII)
_HALF = 63
"""Bits of one of the two numbers: databases know no larger ones."""


class Cursor(NamedTuple):
    """Everything up to here was seen. (0, 0) stands before the first event."""

    xid: int
    """PostgreSQL: the transaction that wrote it. SQLite: 0."""
    id: int

    def __str__(self) -> str:
        number = self.xid << _HALF | self.id
        return "evt_" + "".join([_LETTERS[number >> shift & 31] for shift in range(125, -1, -5)])

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Undoes `str`. Raises InvalidRequest."""
        found = _ID.fullmatch(text)
        if found is None:
            raise InvalidRequest("This is no id of an event.", pointer="?after", code="invalid_cursor")
        number = 0
        for letter in found[1]:
            number = number << 5 | _VALUES[letter]
        return cls(number >> _HALF, number & (1 << _HALF) - 1)


START = Cursor(0, 0)
"""Before everything that is kept."""
