"""What one POP3 session sees: a list that stands still, and what is to go at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from postwerk.sandbox.reference import Reference

MOST_MESSAGES = 10_000
"""The newest so many; a session keeps no more in memory."""

EVERYTHING = "all"

DROPS = f"""
SELECT id, body_id, size, sha256 FROM message WHERE rcpt_to LIKE ? ESCAPE '\\'
ORDER BY id DESC LIMIT {MOST_MESSAGES}
"""


@dataclass(frozen=True, slots=True)
class Drop:
    """One message in it."""

    id: int
    body_id: int
    size: int
    sha256: str

    @property
    def unique_id(self) -> str:
        """The same in every session, and never another message's, not even after everything was cleared."""
        return f"{self.id}.{self.sha256[:16]}"


def recipients_of(user: str) -> str:
    """The LIKE pattern of the recipients whose mail this user sees: an address, a domain, or all."""
    if user.lower() == EVERYTHING:
        return "%"
    escaped = user.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return escaped if "@" in user else f"%@{escaped}"


class Maildrop:
    """Numbered from 1, the oldest first; the numbers stay while the session lasts (RFC 1939 5)."""

    def __init__(self, drops: Sequence[Drop]) -> None:
        self._drops = drops
        self._deleted: set[int] = set()

    @property
    def count(self) -> int:
        return len(self._drops) - len(self._deleted)

    @property
    def size(self) -> int:
        """Bytes of all that is not to go."""
        return sum(drop.size for _, drop in self.kept())

    @property
    def deleted(self) -> list[Reference]:
        return [Reference("message", self._drops[number - 1].id) for number in sorted(self._deleted)]

    def kept(self) -> Iterator[tuple[int, Drop]]:
        numbered = enumerate(self._drops, 1)
        return ((number, drop) for number, drop in numbered if number not in self._deleted)

    def get(self, number: int) -> Drop | None:
        there = 1 <= number <= len(self._drops) and number not in self._deleted
        return self._drops[number - 1] if there else None

    def delete(self, number: int) -> None:
        self._deleted.add(number)

    def keep_all(self) -> None:
        self._deleted.clear()
