"""What became of each address: every try of it, told from both tables of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

NAMES_AFTER = """
SELECT rcpt_to FROM message WHERE rcpt_to > ?1
UNION SELECT rcpt_to FROM refusal WHERE rcpt_to > ?1
ORDER BY rcpt_to LIMIT ?2
"""

TRIES = """
SELECT rcpt_to, taken_at AS at, attempt, CASE verdict WHEN 'accepted' THEN 250 ELSE 0 END, verdict, message_id
FROM message WHERE rcpt_to BETWEEN ?1 AND ?2
UNION ALL
SELECT rcpt_to, at, attempt, code, text, NULL FROM refusal WHERE rcpt_to BETWEEN ?1 AND ?2
ORDER BY rcpt_to, at
"""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address: the copies it has, and every try."""

    rcpt: str
    copies: int = 0
    message_ids: list[str] = field(default_factory=list)
    """One for each copy, in the order they came."""
    attempts: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    """`at`, `attempt`, `code` (0: no reply was given) and `text` of each try."""


def by_recipient(tries: Iterable[tuple[Any, ...]]) -> Iterator[Recipient]:
    """Fold the rows of TRIES into one value for each address."""
    for rcpt, rows in groupby(tries, key=itemgetter(0)):
        told = list(rows)
        message_ids = [message_id for *_, message_id in told if message_id is not None]
        story = [{"at": at, "attempt": n, "code": code, "text": text} for _, at, n, code, text, _ in told]
        yield Recipient(rcpt, len(message_ids), message_ids, len(told), story)
