"""What replies have in common: their words without what is about one mail alone, and how often they came."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

GAP = "…"
LONGEST = 160
"""Characters of a pattern; the rest of a long reply seldom says more."""

_LOOKED_AT = 500

# The order matters: an address holds a host name, a host name may look like an id.
_OWN = re.compile(
    r"""
    https?://\S+                                        # links: most end in an id
    | <[^<>\s]*@[^<>\s]*> | [^\s<>()\[\]"':;,]+@[^\s<>()\[\]"',;]+   # addresses
    | \[?(?:\d{1,3}\.){3}\d{1,3}\]?                     # IPv4
    | \[?(?:IPv6:)?(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}\]?           # IPv6
    | \b(?:[\w-]+\.)+[a-z]{2,}\b                        # host names
    | \b(?=[\w.-]*\d)(?=[\w.-]*[a-z])[\w-]{2,}(?:\.[\w-]+)*\b        # ids: letters and digits together
    | \b[0-9a-f]{12,}\b
    | \d+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")
_GAPS = re.compile(GAP + r"(?:[^\w…]*" + GAP + ")+")


@lru_cache(maxsize=4096)
def pattern_of(text: str) -> str:
    """The words of a reply, each id, address, host and number left out; a status code in front stays.

    >>> pattern_of("4.7.28 [192.0.2.1] Unusual rate of mail from your IP. https://x.example/?id=1 d944a0-1f0")
    '4.7.28 … Unusual rate of mail from your IP. …'
    >>> pattern_of("<ada@example.com>: Recipient address rejected: Greylisted for 300 seconds")
    '…: Recipient address rejected: Greylisted for … seconds'
    """
    line = " ".join(text.split())[:_LOOKED_AT]
    status = _ENHANCED.match(line)
    kept = status.group() if status else ""
    rest = _GAPS.sub(GAP, _OWN.sub(GAP, line[len(kept) :]))
    return f"{kept}{rest}".strip()[:LONGEST]


class Kind(NamedTuple):
    """What replies of one kind have in common; `reason` as docs/replies.md names it."""

    code: int | None
    reason: str
    pattern: str


@dataclass(slots=True)
class Repeated:
    """Replies of one kind: how often, to which providers, when, and one of them as it was."""

    kind: Kind
    first_at: datetime
    last_at: datetime
    sample: str
    message_id: str
    """Of the sample's message."""
    n: int = 0
    lanes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Repeated) -> None:
        """Take in what came at another time; the sample of the latest stays."""
        self.n += other.n
        self.lanes += other.lanes
        self.first_at = min(self.first_at, other.first_at)
        if other.last_at >= self.last_at:
            self.last_at, self.sample, self.message_id = other.last_at, other.sample, other.message_id


def added_up(some: Iterable[Repeated]) -> list[Repeated]:
    """One of each kind, the most frequent first."""
    found: dict[Kind, Repeated] = {}
    for one in some:
        if (known := found.get(one.kind)) is None:
            found[one.kind] = Repeated(
                one.kind, one.first_at, one.last_at, one.sample, one.message_id, one.n, one.lanes.copy()
            )
        else:
            known.add(one)
    return sorted(found.values(), key=lambda one: (-one.n, one.kind.pattern))
