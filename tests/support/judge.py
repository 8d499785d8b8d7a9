"""The judge of a fault test: it reads archive and ledger by itself and shares no code with what it judges.

It asks the invariants of a bulk send that has come to its end:

- I1 the states add up to what was accepted, each recipient stands there once, in a final state
- I2 no false `delivered`; what was taken without being called delivered is known to be ambiguous
- I3 no more copies than the faults explain, and each one marked
- I5 all copies of a recipient are the same bytes under the same Message-ID
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

_FINAL = {"delivered", "bounced", "expired", "cancelled", "suppressed", "failed", "unknown"}
_MESSAGES = """
    SELECT seq, address, state, attempts, possible_duplicate FROM message WHERE bulk_id = '{id}' ORDER BY seq
"""
_ATTEMPTS = "SELECT seq, number, outcome, code FROM attempt WHERE bulk_id = '{id}' ORDER BY seq, number"
_COUNTERS = "SELECT state, sum(n) FROM counter WHERE bulk_id = '{id}' GROUP BY state"
_BULK = "SELECT state, accepted FROM bulk_send WHERE id = '{id}'"
_LEDGER = """
    SELECT rcpt_to, verdict, message_id, sha256 FROM message WHERE message_id LIKE '<{id}.%' ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Copy:
    """One mail that the sandbox took."""

    answered: bool
    """It said 250, or meant to: the answer may have been lost with the one who waited for it."""
    message_id: str
    sha256: str


@dataclass(slots=True)
class Verdict:
    """What the judge found; `complaints` is empty when everything holds."""

    bulk_id: str
    bulk_state: str = ""
    accepted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    """Recipients of whom the sandbox has at least one copy."""
    extra_copies: int = 0
    possible_duplicates: int = 0
    attempts: int = 0
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        states = ", ".join(f"{n} {state}" for state, n in sorted(self.states.items()))
        return (
            f"{self.accepted} accepted: {states}; {self.taken} in the ledger, "
            f"{self.extra_copies} extra copies, {self.possible_duplicates} marked, {self.attempts} attempts"
        )


def judge(
    archive_url: str,
    ledger: Path,
    bulk_id: str,
    recipients: Iterable[str],
    *,
    most_extra_copies: int = 0,
    most_marked: int | None = None,
) -> Verdict:
    """Look at one bulk send. `most_marked`: messages that may be called ambiguous; as many as copies."""
    verdict = Verdict(bulk_id)
    messages, attempts, counters, (verdict.bulk_state, verdict.accepted) = _read_archive(archive_url, bulk_id)
    copies = ledger_copies(ledger, bulk_id)
    wanted = set(recipients)
    _check_accounting(verdict, messages, counters, wanted)
    _check_deliveries(verdict, messages, copies)
    _check_copies(verdict, messages, copies, most_extra_copies)
    if verdict.possible_duplicates > (most_extra_copies if most_marked is None else most_marked):
        verdict.complaints.append(f"I3: {verdict.possible_duplicates} marked possible_duplicate, too many")
    _check_attempts(verdict, messages, attempts)
    return verdict


def ledger_copies(ledger: Path, bulk_id: str) -> dict[str, list[Copy]]:
    """The mails of a bulk send that the sandbox took, by recipient, in the order they came."""
    copies: dict[str, list[Copy]] = {}
    for rcpt, verdict, message_id, sha256 in _sqlite(ledger, _LEDGER.format(id=bulk_id)):
        copies.setdefault(rcpt, []).append(Copy(verdict == "accepted", message_id, sha256))
    return copies


def ledger_size(ledger: Path) -> int:
    """How many mails the sandbox has taken so far."""
    return int(_sqlite(ledger, "SELECT count(*) FROM message")[0][0])


def ask_archive(archive_url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, over a connection of our own."""
    if archive_url.startswith("sqlite"):
        return _sqlite(Path(archive_url.partition(":///")[2]), query)
    with ThreadPoolExecutor(1) as thread:  # the test may have a loop of its own
        return thread.submit(asyncio.run, _postgresql(archive_url, query)).result()


def _check_accounting(
    verdict: Verdict, messages: Sequence[tuple[Any, ...]], counters: dict[str, int], wanted: set[str]
) -> None:
    verdict.states.update(state for _, _, state, _, _ in messages)
    addresses = Counter(address for _, address, _, _, _ in messages)
    complain = verdict.complaints.append
    if len(messages) != verdict.accepted:
        complain(f"I1: {verdict.accepted} accepted, {len(messages)} stored")
    if missing := wanted - set(addresses):
        complain(f"I1: missing: {sorted(missing)[:5]}")
    if strange := set(addresses) - wanted:
        complain(f"I1: strange: {sorted(strange)[:5]}")
    if twice := [address for address, n in addresses.items() if n > 1]:
        complain(f"I1: stored twice: {twice[:5]}")
    if not_final := {state: n for state, n in verdict.states.items() if state not in _FINAL}:
        complain(f"I1: not final: {not_final}")
    if counters != dict(verdict.states):
        complain(f"I4: counters say {counters}, the rows {dict(verdict.states)}")


def _check_deliveries(
    verdict: Verdict, messages: Sequence[tuple[Any, ...]], copies: dict[str, list[Copy]]
) -> None:
    complain = verdict.complaints.append
    for seq, address, state, _, marked in messages:
        own = copies.get(address, [])
        verdict.taken += bool(own)
        if state == "delivered" and not any(copy.answered for copy in own):
            complain(f"I2: false delivered: message {seq}")
        if own and state != "delivered" and not (marked or state == "unknown"):
            complain(f"I2: message {seq} is {state}, but the sandbox has it, and nobody knows of a doubt")
    if strange := set(copies) - {address for _, address, _, _, _ in messages}:
        verdict.complaints += [f"I2: mail for strangers: {sorted(strange)[:5]}"]


def _check_copies(
    verdict: Verdict, messages: Sequence[tuple[Any, ...]], copies: dict[str, list[Copy]], most: int
) -> None:
    complain = verdict.complaints.append
    ids: Counter[str] = Counter()
    for seq, address, state, _, marked in messages:
        own = copies.get(address, [])
        verdict.possible_duplicates += bool(marked)
        verdict.extra_copies += max(0, len(own) - 1)
        if len(own) > 1 and not marked:
            complain(f"I3: message {seq} ({state}) has {len(own)} copies and is not marked")
        if len({copy.message_id for copy in own}) > 1 or len({copy.sha256 for copy in own}) > 1:
            complain(f"I5: the copies of message {seq} differ: {own}")
        ids.update({copy.message_id for copy in own})
    if shared := [message_id for message_id, n in ids.items() if n > 1 or not message_id]:
        complain(f"I5: one Message-ID for several recipients: {shared[:5]}")
    if verdict.extra_copies > most:
        complain(f"I3: {verdict.extra_copies} extra copies, at most {most} are explained")


def _check_attempts(
    verdict: Verdict, messages: Sequence[tuple[Any, ...]], attempts: Sequence[tuple[Any, ...]]
) -> None:
    """The attempts are numbered without a gap; one of them, the last, says 2yz where it says delivered."""
    verdict.attempts = len(attempts)
    by_message: dict[int, list[tuple[Any, ...]]] = {}
    for seq, *attempt in attempts:
        by_message.setdefault(seq, []).append(tuple(attempt))
    for seq, _, state, count, marked in messages:
        own = by_message.get(seq, [])
        numbers = [number for number, _, _ in own]
        # A message that was given up while it was sent has no end of its last attempt.
        cut_off = state == "unknown" and numbers == list(range(1, count))
        if numbers != list(range(1, count + 1)) and not cut_off:
            verdict.complaints.append(f"message {seq} ({state}): {count} attempts, rows {own}")
        good = [
            number for number, outcome, code in own if outcome == "delivered" and 200 <= (code or 0) < 300
        ]
        if (good == [count]) != (state == "delivered"):
            verdict.complaints.append(f"message {seq} is {state}, its attempts say {own}")
        if any(outcome == "ambiguous" for _, outcome, _ in own) and not marked:
            verdict.complaints.append(f"message {seq} had an ambiguous attempt and is not marked")


def _read_archive(url: str, bulk_id: str) -> tuple[Any, Any, dict[str, int], tuple[str, int]]:
    messages, attempts, counters, bulk = (
        ask_archive(url, query.format(id=bulk_id)) for query in (_MESSAGES, _ATTEMPTS, _COUNTERS, _BULK)
    )
    return messages, attempts, {state: int(n) for state, n in counters if n}, (bulk[0][0], bulk[0][1])


def _sqlite(file: Path, query: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(file, timeout=30)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


async def _postgresql(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql"))
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()
