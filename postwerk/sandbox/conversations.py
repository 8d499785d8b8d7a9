"""The facts around one mail or refusal: who talked, what else went in the same transaction, earlier tries."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from postwerk.sandbox.entries import ACCEPTED, NO_REPLY
from postwerk.sandbox.inbox_rows import Entry
from postwerk.sandbox.reference import Kind, Reference

_MOST_TRIES = 25
_MOST_OTHERS = 50

_TALK = "SELECT at, client, said, login FROM conversation WHERE id = ?"
# As with deleting: the rows of one message follow its number without a gap.
_TOGETHER = f"""
SELECT id, rcpt_to FROM message WHERE id BETWEEN ?1 AND ?1 + 1000 AND body_id = ?1 AND id <> ?2
ORDER BY id LIMIT {_MOST_OTHERS}
"""
TRIES = f"""
SELECT * FROM (
    SELECT 'message', id, taken_at AS at, attempt, 'dot',
           CASE verdict WHEN '{ACCEPTED}' THEN 250 ELSE 0 END,
           CASE verdict WHEN '{NO_REPLY}' THEN 'taken, and no answer was given' ELSE '2.0.0 Ok' END
    FROM message WHERE rcpt_to = ?1
    UNION ALL SELECT 'refusal', id, at, attempt, stage, code, text FROM refusal WHERE rcpt_to = ?1
    UNION ALL SELECT 'abandoned', id, at, attempt, stage, 0, 'given up by the client'
    FROM abandoned WHERE rcpt_to = ?1
) ORDER BY at DESC LIMIT {_MOST_TRIES}
"""


@dataclass(frozen=True, slots=True)
class Try:
    """One try of an address, and what it was answered."""

    kind: Kind
    id: int
    at: float
    attempt: int
    stage: str
    code: int
    """0: no answer."""
    text: str

    @property
    def reference(self) -> Reference:
        return Reference(self.kind, self.id)


@dataclass(frozen=True, slots=True)
class Facts:
    """One connection and one transaction on it. All empty where an earlier version wrote the ledger."""

    client: str = ""
    said: str = ""
    login: str = ""
    since: float = 0.0
    """When the ledger first heard of the connection, in seconds since 1970."""
    others: tuple[tuple[int, str], ...] = ()
    """Number and address of the other recipients of the same transaction that were taken."""


def read_facts(database: sqlite3.Connection, entry: Entry) -> Facts:
    talk = database.execute(_TALK, (entry.conversation,)).fetchone() or (0.0, "", "", "")
    others = database.execute(_TOGETHER, (entry.body_id, entry.id)).fetchall() if entry.body_id else []
    since, client, said, login = talk
    return Facts(client, said, login, since, tuple(others))
