"""Files that go along with mails: stored once under the hash of their bytes, never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.contracts.content import Content

_INSERT = text("""
    INSERT INTO blob (id, size, data, stored_at) VALUES (:id, :size, :data, :now) ON CONFLICT (id) DO NOTHING
""")
_SIZES = text("SELECT id, size FROM blob WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))
_DATA = text("SELECT data FROM blob WHERE id = :id")


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A file's bytes, about to be stored."""

    id: str
    """SHA-256 in hex."""
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, data: bytes) -> NewBlob:
        return cls(sha256(data).hexdigest(), data)


async def store_blobs(connection: AsyncConnection, blobs: Iterable[NewBlob], now: datetime) -> None:
    """Those that are there already are left alone, and not even handed to the database."""
    wanted = {blob.id: blob for blob in blobs}
    known = await blob_sizes(connection, list(wanted))
    for blob in (blob for blob in wanted.values() if blob.id not in known):
        await connection.execute(
            _INSERT,
            {"id": blob.id, "size": len(blob.data), "data": blob.data, "now": to_microseconds(now)},
        )


async def blob_sizes(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, int]:
    """Octets of each of these that is there."""
    if not ids:
        return {}
    return {row.id: row.size for row in await connection.execute(_SIZES, {"ids": list(ids)})}


async def blob_data(connection: AsyncConnection, id: str) -> bytes | None:
    """Its bytes as they lie there, or None. Whoever sends them looks whether they are `intact`."""
    found = (await connection.execute(_DATA, {"id": id})).scalar_one_or_none()
    return None if found is None else bytes(found)


def intact(id: str, data: bytes) -> bool:
    """Whether these are the bytes that were stored under the id. Some milliseconds for a large one."""
    return sha256(data).hexdigest() == id


async def stored_files(connection: AsyncConnection, content: Content) -> dict[str, bytes | None]:
    """The files that go along with a content, as they lie there; None for one that is gone."""
    return {
        id: await blob_data(connection, id) for id in {one.blob for one in content.attachments if one.blob}
    }


def sound(files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """A damaged file is none: no mail goes out with other bytes than were given."""
    return {id: data if data is not None and intact(id, data) else None for id, data in files.items()}
