"""Sessions of the page: by the digest of their cookie, each as good as the API key it was begun with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.api_keys import ApiKey, api_key
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.outbox_tables import PageSessionRow
from postwerk.errors import NotFound

_SESSION = SQLModel.metadata.tables[PageSessionRow.__tablename__].c


@dataclass(frozen=True, slots=True)
class PageSession:
    """Somebody who has given an API key to the page."""

    key: ApiKey
    until: datetime

    def holds(self, now: datetime) -> bool:
        """Whether it may be used: it ends by itself, and with its key."""
        return now < self.until and self.key.state(now) == "active"


def session_digest(cookie: str) -> str:
    """What is stored of a cookie."""
    return hashlib.sha256(cookie.encode()).hexdigest()


async def begin_session(
    connection: AsyncConnection, cookie: str, key: ApiKey, *, now: datetime, until: datetime
) -> None:
    """Store it, and forget those that have ended. In a writing transaction."""
    await connection.execute(delete(PageSessionRow).where(_SESSION.until <= now))
    await connection.execute(
        insert(PageSessionRow).values(
            digest=session_digest(cookie), key_id=key.id, created_at=now, until=until
        )
    )
    await write_audit(connection, Actor(key.name, "page"), "page.login", at=now, target=key.id)


async def page_session(connection: AsyncConnection, digest: str) -> PageSession | None:
    """The session with this digest, in whatever state it is."""
    query = select(_SESSION.key_id, _SESSION.until).where(_SESSION.digest == digest)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    try:
        return PageSession(await api_key(connection, row.key_id), row.until)
    except NotFound:
        return None


async def end_session(connection: AsyncConnection, digest: str) -> None:
    """It is good for nothing from this commit on."""
    await connection.execute(delete(PageSessionRow).where(_SESSION.digest == digest))
