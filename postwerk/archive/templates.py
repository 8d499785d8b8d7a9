"""Templates by name: each change is a further version, and none is ever changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.errors import Conflict, NotFound

_COLUMNS = "id, version, document, created_at, created_by"
_LAST = text(f"SELECT {_COLUMNS} FROM template WHERE id = :id ORDER BY version DESC LIMIT 1")
_ONE = text(f"SELECT {_COLUMNS} FROM template WHERE id = :id AND version = :version AND document <> '{{}}'")
_VERSIONS = text(f"""
    SELECT {_COLUMNS} FROM template WHERE id = :id AND document <> '{{}}' AND version < :before
    ORDER BY version DESC LIMIT :limit
""")
_ALL = text(f"""
    SELECT {_COLUMNS} FROM template WHERE id > :after AND document <> '{{}}'
        AND version = (SELECT max(version) FROM template AS other WHERE other.id = template.id)
    ORDER BY id LIMIT :limit
""")
_ADD = text("""
    INSERT INTO template (id, version, document, created_at, created_by)
    VALUES (:id, :version, :document, :now, :by) ON CONFLICT DO NOTHING
""")
_ERASE = text("DELETE FROM template WHERE id = :id AND version <= :version")
_GONE = b"{}"
"""The document of a version that stands for a deletion: a number is never given out twice."""
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Template:
    """A version of a template; `document` holds its fields as callers write them."""

    id: str
    version: int
    document: Mapping[str, Any]
    created_at: datetime
    created_by: str


async def put_template(
    connection: AsyncConnection, id: str, document: Mapping[str, Any], *, now: datetime, by: str
) -> tuple[Template, bool]:
    """The next version, and True; or the last one, and False, when it says the same. Raises Conflict."""
    written = orjson.dumps(dict(document), option=orjson.OPT_SORT_KEYS)
    for _ in range(_TRIES):  # on PostgreSQL two may want the same number
        last = (await connection.execute(_LAST, {"id": id})).one_or_none()
        if last is not None and last.document.encode() == written:
            return _template(last), False
        version = last.version + 1 if last else 1
        if await _add(connection, id, version, written, now, by):
            return Template(id, version, document, now, by), True
    raise Conflict("Others are changing this template right now; try again.")


async def delete_template(connection: AsyncConnection, id: str, *, now: datetime, by: str) -> None:
    """Every version of it. Raises NotFound. Sends hold their own copy of what they say."""
    for _ in range(_TRIES):
        last = (await connection.execute(_LAST, {"id": id})).one_or_none()
        if last is None or last.document.encode() == _GONE:
            raise NotFound("There is no template of this name.")
        if await _add(connection, id, last.version + 1, _GONE, now, by):
            await connection.execute(_ERASE, {"id": id, "version": last.version})
            return
    raise Conflict("Others are changing this template right now; try again.")


async def template(connection: AsyncConnection, id: str, version: int | None = None) -> Template:
    """That version, or the last. Raises NotFound."""
    if version is None:
        found = (await connection.execute(_LAST, {"id": id})).one_or_none()
    else:
        found = (await connection.execute(_ONE, {"id": id, "version": version})).one_or_none()
    if found is None or found.document.encode() == _GONE:
        which = "There is no template of this name." if version is None else "There is no such version."
        raise NotFound(which)
    return _template(found)


async def templates(connection: AsyncConnection, *, limit: int, after: str = "") -> list[Template]:
    """The last version of each, by name, behind `after`."""
    return [_template(row) for row in await connection.execute(_ALL, {"after": after, "limit": limit})]


async def versions(connection: AsyncConnection, id: str, *, limit: int, before: int) -> list[Template]:
    """The versions of one, the newest first. Raises NotFound when there is none at all."""
    await template(connection, id)
    where = {"id": id, "limit": limit, "before": before}
    return [_template(row) for row in await connection.execute(_VERSIONS, where)]


async def _add(
    connection: AsyncConnection, id: str, version: int, document: bytes, now: datetime, by: str
) -> bool:
    row = {"id": id, "version": version, "document": document.decode(), "by": by}
    done = await connection.execute(_ADD, {**row, "now": to_microseconds(now)})
    return done.rowcount == 1


def _template(row: Row[Any]) -> Template:
    return Template(
        row.id, row.version, orjson.loads(row.document), from_microseconds(row.created_at), row.created_by
    )
