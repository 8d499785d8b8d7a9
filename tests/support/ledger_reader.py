"""What the sandbox's ledger holds, read piece by piece while it grows."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import NamedTuple

_TAKEN = "SELECT id, taken_at, rcpt_to, message_id FROM message WHERE id > ? ORDER BY id"
_REFUSED = "SELECT id, at, rcpt_to FROM refusal WHERE id > ? ORDER BY id"
_OUT_OF_ORDER = 300
"""Numbers are given out before the rows are written: some come behind higher ones."""
_OWN = re.compile(r"<(bulk_[0-9a-z]+)\.(\d+)[.@]")


class Transaction(NamedTuple):
    """A transaction that the sandbox answered. `at`: seconds since 1970."""

    at: float
    address: str
    taken: bool
    bulk_id: str
    """Only of those that were taken; else empty."""
    seq: int


class LedgerReader:
    """Each call answers what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = {"message": 0, "refusal": 0}
        self._known: dict[str, set[int]] = {"message": set(), "refusal": set()}
        self._database = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._database.execute("PRAGMA query_only = on")

    def close(self) -> None:
        self._database.close()

    def news(self) -> list[Transaction]:
        found = [
            Transaction(at, address, True, *_bulk_and_seq(message_id))
            for _, at, address, message_id in self._new("message", _TAKEN)
        ]
        found += [Transaction(at, address, False, "", 0) for _, at, address in self._new("refusal", _REFUSED)]
        return found

    def _new(self, table: str, query: str) -> list[tuple[int, ...]]:
        known, behind = self._known[table], max(0, self._last[table] - _OUT_OF_ORDER)
        rows = [row for row in self._database.execute(query, (behind,)).fetchall() if row[0] not in known]
        if rows:
            self._last[table] = max(self._last[table], rows[-1][0])
            known.update(row[0] for row in rows)
            self._known[table] = {one for one in known if one > self._last[table] - 2 * _OUT_OF_ORDER}
        return rows


def _bulk_and_seq(message_id: str) -> tuple[str, int]:
    found = _OWN.match(message_id)
    assert found is not None, f"mail of a stranger: {message_id}"
    return found[1], int(found[2])
