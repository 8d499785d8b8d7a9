"""The ledger's tables, and how its file is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS body (id INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    taken_at REAL NOT NULL,
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    message_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    body_id INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS refusal (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    rcpt_to TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stage TEXT NOT NULL,
    code INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS abandoned (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    rcpt_to TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stage TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS message_by_recipient ON message (rcpt_to, message_id);
CREATE INDEX IF NOT EXISTS refusal_by_recipient ON refusal (rcpt_to);
"""

CLEAR = "BEGIN; DELETE FROM message; DELETE FROM body; DELETE FROM refusal; DELETE FROM abandoned; COMMIT;"

KNOWN_CONTACTS = """
SELECT rcpt_to, max(attempt), min(at) FROM (
    SELECT rcpt_to, attempt, taken_at AS at FROM message
    UNION ALL SELECT rcpt_to, attempt, at FROM refusal
    UNION ALL SELECT rcpt_to, attempt, at FROM abandoned
) WHERE attempt > 0 GROUP BY rcpt_to
"""

MESSAGE_COLUMNS = 11
BODY_COLUMNS = 2
REFUSAL_COLUMNS = 6
ABANDONED_COLUMNS = 4

_NAMED_COLUMNS = {
    "refusal": " (at, rcpt_to, attempt, stage, code, text)",
    "abandoned": " (at, rcpt_to, attempt, stage)",
}


def connect(path: Path, *, reading: bool = False) -> sqlite3.Connection:
    """Open the ledger; in WAL mode one writer and any number of readers do not wait for each other."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=1024)
    database.execute("PRAGMA busy_timeout = 10000")
    if reading:
        database.execute("PRAGMA query_only = on")
        return database
    database.execute("PRAGMA journal_mode = wal")
    # NORMAL outlives kill -9 of this process, not a power cut: the tests kill processes, they cut no power.
    database.execute("PRAGMA synchronous = normal")
    return database


def insert(table: str, columns: int, rows: int) -> str:
    """One INSERT for many rows. `refusal` and `abandoned` number their rows themselves."""
    row = "(" + ",".join("?" * columns) + ")"
    return f"INSERT INTO {table}{_NAMED_COLUMNS.get(table, '')} VALUES {','.join([row] * rows)}"
