"""Mails taken, refusals, transactions given up: rows of one shape, and a search over them as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from postwerk.sandbox.entries import ABANDONED, ACCEPTED, NO_REPLY, REFUSED, readable
from postwerk.sandbox.reference import Kind, Reference
from postwerk.sandbox.search import Term

_SHAPE = (
    "kind, id, at, mail_from, rcpt_to, attempt, verdict, stage, code, reply, message_id, subject, size, "
    "sha256, sender, body_id, conversation"
)
_SOURCES: dict[Kind, str] = {
    "message": f"""
        SELECT 'message' AS kind, id, taken_at AS at, mail_from, rcpt_to, attempt, verdict, 'dot' AS stage,
               CASE verdict WHEN '{ACCEPTED}' THEN 250 ELSE 0 END AS code, '' AS reply,
               message_id, subject, size, sha256, sender, body_id, conversation
        FROM message""",
    "refusal": f"""
        SELECT 'refusal' AS kind, id, at, mail_from, rcpt_to, attempt, '{REFUSED}' AS verdict, stage,
               code, text AS reply, '' AS message_id, '' AS subject, 0 AS size, '' AS sha256,
               '' AS sender, 0 AS body_id, conversation
        FROM refusal""",
    "abandoned": f"""
        SELECT 'abandoned' AS kind, id, at, mail_from, rcpt_to, attempt, '{ABANDONED}' AS verdict, stage,
               0 AS code, '' AS reply, '' AS message_id, '' AS subject, 0 AS size, '' AS sha256,
               '' AS sender, 0 AS body_id, conversation
        FROM abandoned""",
}
_VERDICTS = {"accepted": ACCEPTED, "refused": REFUSED, "noreply": NO_REPLY, "abandoned": ABANDONED}
_SEARCHED = {
    "any": ("rcpt_to", "mail_from", "subject", "reply", "sender"),
    "to": ("rcpt_to",),
    "from": ("mail_from", "sender"),
    "subject": ("subject",),
    "message-id": ("message_id",),
}
_COMPARED = {
    "before": "at < ?",
    "after": "at >= ?",
    "larger": "size > ?",
    "smaller": "size < ?",
    "stage": "stage = ?",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the inbox: one recipient of one transaction."""

    kind: Kind
    id: int
    at: float
    """Seconds since 1970."""
    mail_from: str
    rcpt_to: str
    """Empty when it ended before a recipient was named."""
    attempt: int
    verdict: str
    stage: str
    code: int
    """What it was answered; 0: nothing."""
    reply: str
    message_id: str
    subject: str
    size: int
    sha256: str
    sender: str
    body_id: int
    conversation: int

    @property
    def reference(self) -> Reference:
        return Reference(self.kind, self.id)

    @property
    def answer(self) -> str:
        """The whole answer in words."""
        if self.verdict == ACCEPTED:
            return f"250 2.0.0 Ok, taken as {self.body_id}"
        if self.verdict == REFUSED:
            return f"{self.code} {self.reply}" if self.code else self.reply
        return "taken, and no answer was given" if self.verdict == NO_REPLY else "given up by the client"

    @property
    def shown_sender(self) -> str:
        """The From field for people; the envelope's sender where there is none."""
        return _decoded(self.sender) or self.mail_from

    def told(self) -> dict[str, Any]:
        """As JSON tells it."""
        names = ("id", "mail_from", "rcpt_to", "attempt", "verdict", "stage", "code", "message_id", "subject")
        return {
            "ref": str(self.reference),
            "kind": self.kind,
            "taken_at": self.at,
            **{name: getattr(self, name) for name in names},
            "answer": self.answer,
            "from": self.shown_sender,
            "size": self.size,
            "sha256": self.sha256,
        }


def select(kind: Kind, terms: Sequence[Term], further: str, order: str = "id DESC") -> tuple[str, list[Any]]:
    """The query for one kind's rows that meet the terms, apart from those that need the mail itself."""
    conditions, values = [further], list[Any]()
    for term in terms:
        if not term.needs_the_mail:
            condition, of_term = _condition(term)
            conditions.append(f"NOT ({condition})" if term.negated else f"({condition})")
            values += of_term
    where = " AND ".join(conditions)
    return f"SELECT {_SHAPE} FROM ({_SOURCES[kind]}) WHERE {where} ORDER BY {order}", values


def says(text: str, word: str) -> bool:
    """SQL's `says`: for words that are not ASCII, and for encoded words (RFC 2047)."""
    return word in _decoded(text).lower()


def _condition(term: Term) -> tuple[str, list[Any]]:
    if term.field in _COMPARED:
        # The size of what was never taken is not known, so it is neither larger nor smaller.
        known = "kind = 'message' AND " if "size" in _COMPARED[term.field] else ""
        return known + _COMPARED[term.field], [term.value]
    if term.field == "code":
        return "code || '' LIKE ? || '%'", [term.value]
    if term.field == "is":
        return "verdict = ?", [_VERDICTS[str(term.value)]]
    tests = [_contains(column, str(term.value)) for column in _SEARCHED[term.field]]
    return " OR ".join(test for test, _ in tests), [value for _, values in tests for value in values]


def _contains(column: str, word: str) -> tuple[str, list[Any]]:
    if not word.isascii():  # SQLite's lower() knows the letters of ASCII only
        return f"says({column}, ?)", [word]
    if column == "sender":
        return "instr(lower(sender), ?) OR (instr(sender, '=?') AND says(sender, ?))", [word, word]
    return f"instr(lower({column}), ?)", [word]


@lru_cache(maxsize=10_000)
def _decoded(header: str) -> str:
    return readable(header)
