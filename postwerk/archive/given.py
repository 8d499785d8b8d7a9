"""Rows handed to one SQL statement as a JSON document: one round trip, one plan, any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, TextClause, text


class Given:
    """A statement whose `{given}` stands for rows with the named columns (name=PostgreSQL type)."""

    def __init__(self, statement: str, **columns: str) -> None:
        extracts = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
        record = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self._statements: dict[str, TextClause] = {
            "sqlite": text(
                statement.replace("{given}", f"(SELECT {extracts} FROM json_each(:rows)) AS given")
            ),
            "postgresql": text(
                statement.replace("{given}", f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS given({record})")
            ),
        }

    def bind(self, connection: Connection, rows: Sequence[Any]) -> tuple[TextClause, dict[str, str]]:
        """The statement for this connection's database and its parameters; rows are dataclasses or dicts."""
        return self._statements[connection.dialect.name], {"rows": orjson.dumps(rows).decode()}
