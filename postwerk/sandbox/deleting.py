"""Taking single rows out of the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from postwerk.sandbox import tables
from postwerk.sandbox.reference import KINDS, Kind, Reference


def delete(database: sqlite3.Connection, references: Sequence[Reference]) -> int:
    """Delete these rows in one transaction, and bodies that no row has left; how many rows there were."""
    database.execute("BEGIN IMMEDIATE")
    try:
        bodies = _bodies_of(database, references)
        count = sum(_delete_from(database, kind, references) for kind in KINDS)
        database.executemany(tables.DELETE_BODIES_WITHOUT_ROWS, [(body,) for body in bodies])
        database.execute("COMMIT")
    except sqlite3.Error:
        database.execute("ROLLBACK")
        raise
    return count


def _bodies_of(database: sqlite3.Connection, references: Sequence[Reference]) -> set[int]:
    query = "SELECT body_id FROM message WHERE id = ?"
    numbers = [one.number for one in references if one.kind == "message"]
    return {body for number in numbers for (body,) in database.execute(query, (number,))}


def _delete_from(database: sqlite3.Connection, kind: Kind, references: Sequence[Reference]) -> int:
    numbers = [(one.number,) for one in references if one.kind == kind]
    return database.executemany(f"DELETE FROM {kind} WHERE id = ?", numbers).rowcount if numbers else 0
