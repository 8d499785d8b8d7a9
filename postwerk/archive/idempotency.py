"""Calls that may come again: whose turn it is, how far it has come, and what was answered.

The row is written, with the id of what will be made, before anything is made. Whoever is at it writes into it
in the transactions that make something, on the condition that it is still his: after a takeover the one who
was thought dead makes nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.sender_tables import IdempotencyRow
from postwerk.rules.idempotency import LEASE, Known, Verdict, kept_until, verdict

_TABLE = SQLModel.metadata.tables[IdempotencyRow.__tablename__]
_ROW = _TABLE.c


@dataclass(frozen=True, slots=True)
class Name:
    """Whose key it is, and which."""

    owner: str
    key: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """A call as it is remembered. `answer` is its progress until there is a `status`, then what was said."""

    fingerprint: str
    resource: str
    holder: str
    held_since: datetime | None
    status: int | None
    answer: str | None
    headers: dict[str, str] | None
    keep_until: datetime

    def verdict(self, fingerprint: str, now: datetime) -> Verdict:
        known = Known(self.fingerprint, self.holder, self.held_since, self.status, self.keep_until)
        return verdict(known, fingerprint, now)


_SELECT = select(*(_ROW[name] for name in Remembered.__slots__))


async def remembered(connection: AsyncConnection, name: Name) -> Remembered | None:
    row = (await connection.execute(_SELECT.where(*_named(name)))).one_or_none()
    return None if row is None else Remembered(**row._mapping)


async def claim(
    connection: AsyncConnection, name: Name, fingerprint: str, resource: str, holder: str, now: datetime
) -> bool:
    """Be the first with this key; False when it is known. `resource` is the id of what will be made."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = kind.insert(_TABLE).values(
        owner=name.owner,
        key=name.key,
        fingerprint=fingerprint,
        resource=resource,
        holder=holder,
        held_since=now,
        created_at=now,
        keep_until=kept_until(now),
    )
    return (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def take_over(
    connection: AsyncConnection, name: Name, known: Remembered, resource: str, holder: str, now: datetime
) -> bool:
    """Go on in the place of who died; False when another was quicker, or he came back to life."""
    done = await connection.execute(
        update(_TABLE)
        .where(
            *_named(name),
            _ROW.status.is_(None),
            _ROW.holder == known.holder,
            _ROW.held_since.is_(None) if known.held_since is None else _ROW.held_since == known.held_since,
        )
        .values(holder=holder, held_since=now, resource=resource)
    )
    return done.rowcount == 1


async def hold(
    connection: AsyncConnection, name: Name, holder: str, now: datetime, progress: str | None = None
) -> bool:
    """Say that it is still being done, and how far; False when it was taken over."""
    values: dict[str, Any] = {"held_since": now}
    if progress is not None:
        values["answer"] = progress
    return await _change_ours(connection, name, holder, values)


async def complete(
    connection: AsyncConnection,
    name: Name,
    holder: str,
    *,
    status: int,
    answer: str,
    headers: dict[str, str],
    keep_until: datetime,
    fingerprint: str | None = None,
) -> bool:
    """Remember the answer; False when it was taken over. `fingerprint`: the whole one, if it is known now."""
    values: dict[str, Any] = {"status": status, "answer": answer, "headers": headers}
    values |= {"keep_until": keep_until} | ({"fingerprint": fingerprint} if fingerprint else {})
    return await _change_ours(connection, name, holder, values)


async def give_back(connection: AsyncConnection, name: Name, holder: str, *, keep_progress: bool) -> None:
    """The key is free again; with `keep_progress` for the same call alone, which goes on where this ended."""
    if keep_progress and await _change_ours(connection, name, holder, {"holder": "", "held_since": None}):
        return
    await connection.execute(delete(_TABLE).where(*_ours(name, holder)))


async def forget(connection: AsyncConnection, name: Name, now: datetime) -> None:
    """Remove a row whose time is over, so that its key is new."""
    await connection.execute(delete(_TABLE).where(*_named(name), *_over(now)))


async def erase_old(connection: AsyncConnection, now: datetime, limit: int) -> int:
    """Erase the oldest of those whose time is over; answers how many."""
    old = select(_ROW.owner, _ROW.key).where(*_over(now)).order_by(_ROW.keep_until).limit(limit)
    done = await connection.execute(delete(_TABLE).where(tuple_(_ROW.owner, _ROW.key).in_(old), *_over(now)))
    return done.rowcount


async def _change_ours(connection: AsyncConnection, name: Name, holder: str, values: dict[str, Any]) -> bool:
    done = await connection.execute(update(_TABLE).where(*_ours(name, holder)).values(**values))
    return done.rowcount == 1


def _named(name: Name) -> tuple[Any, ...]:
    return _ROW.owner == name.owner, _ROW.key == name.key


def _ours(name: Name, holder: str) -> tuple[Any, ...]:
    return *_named(name), _ROW.holder == holder, _ROW.status.is_(None)


def _over(now: datetime) -> tuple[Any, ...]:
    unheld = or_(_ROW.status.is_not(None), _ROW.held_since.is_(None), _ROW.held_since < now - LEASE)
    return _ROW.keep_until <= now, unheld
