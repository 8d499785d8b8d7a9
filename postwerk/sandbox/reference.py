"""What a line of the inbox is called: `12` a mail that was taken, `r4` a refusal, `a2` one given up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

Kind = Literal["message", "refusal", "abandoned"]
KINDS: tuple[Kind, ...] = ("message", "refusal", "abandoned")
"""Each is a table of the ledger."""

_LETTERS: dict[Kind, str] = {"message": "", "refusal": "r", "abandoned": "a"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}
_WRITTEN = re.compile(r"([ra]?)(\d{1,18})", re.ASCII)

PATTERN = r"[ra]?[0-9]{1,18}"
"""How it stands in a path."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One row of one table."""

    kind: Kind
    number: int

    def __str__(self) -> str:
        return f"{_LETTERS[self.kind]}{self.number}"

    @classmethod
    def parse(cls, written: str) -> Self | None:
        match = _WRITTEN.fullmatch(written)
        return cls(_KINDS[match[1]], int(match[2])) if match else None
