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
    body_id INTEGER NOT NULL,
    sender TEXT NOT NULL DEFAULT '',
    conversation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS refusal (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    rcpt_to TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stage TEXT NOT NULL,
    code INTEGER NOT NULL,
    text TEXT NOT NULL,
    mail_from TEXT NOT NULL DEFAULT '',
    conversation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS abandoned (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    rcpt_to TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stage TEXT NOT NULL,
    mail_from TEXT NOT NULL DEFAULT '',
    conversation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS conversation (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    client TEXT NOT NULL,
    said TEXT NOT NULL,
    login TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS message_by_recipient ON message (rcpt_to, message_id);
CREATE INDEX IF NOT EXISTS refusal_by_recipient ON refusal (rcpt_to);
"""

_LATER_COLUMNS = {
    "message": {"sender": "TEXT NOT NULL DEFAULT ''", "conversation": "INTEGER NOT NULL DEFAULT 0"},
    "refusal": {"mail_from": "TEXT NOT NULL DEFAULT ''", "conversation": "INTEGER NOT NULL DEFAULT 0"},
    "abandoned": {"mail_from": "TEXT NOT NULL DEFAULT ''", "conversation": "INTEGER NOT NULL DEFAULT 0"},
}

_ALL = ("message", "body", "refusal", "abandoned", "conversation")
CLEAR = f"BEGIN; {' '.join(f'DELETE FROM {table};' for table in _ALL)} COMMIT;"

# A message's rows follow the number of its first one without a gap, and there are at most a thousand of them.
DELETE_BODIES_WITHOUT_ROWS = """
DELETE FROM body WHERE id = ?1 AND NOT EXISTS (
    SELECT 1 FROM message WHERE id BETWEEN ?1 AND ?1 + 1000 AND body_id = ?1
)
"""

KNOWN_CONTACTS = """
SELECT rcpt_to, max(attempt), min(at) FROM (
    SELECT rcpt_to, attempt, taken_at AS at FROM message
    UNION ALL SELECT rcpt_to, attempt, at FROM refusal
    UNION ALL SELECT rcpt_to, attempt, at FROM abandoned
) WHERE attempt > 0 GROUP BY rcpt_to
"""

MESSAGE_COLUMNS = 13
BODY_COLUMNS = 2
REFUSAL_COLUMNS = 8
ABANDONED_COLUMNS = 6
CONVERSATION_COLUMNS = 5

_NAMED_COLUMNS = {
    "refusal": " (at, rcpt_to, attempt, stage, code, text, mail_from, conversation)",
    "abandoned": " (at, rcpt_to, attempt, stage, mail_from, conversation)",
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


def create(database: sqlite3.Connection) -> None:
    """Make what is missing, in a file that an earlier version began too."""
    database.executescript(TABLES)
    for table, columns in _LATER_COLUMNS.items():
        there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for name, kind in columns.items():
            if name not in there:
                database.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def insert(table: str, columns: int, rows: int) -> str:
    """One INSERT for many rows. `refusal` and `abandoned` number their rows themselves."""
    row = "(" + ",".join("?" * columns) + ")"
    return f"INSERT INTO {table}{_NAMED_COLUMNS.get(table, '')} VALUES {','.join([row] * rows)}"
