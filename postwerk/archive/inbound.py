"""Mail that came back: stored before it is taken over, then taken up by one process at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.ids import new_id
from postwerk.archive.sender_tables import InboundRow
from postwerk.contracts.inbound import Found, InboundKind, InboundState
from postwerk.errors import NotFound

LEASE = timedelta(seconds=30)
"""Who took a mail up has it for so long; reading one is cut off far earlier."""
MOST_TRIES = 5
"""A mail that takes whole processes with it, not only its reader, is given up then."""
_INBOUND = SQLModel.metadata.tables[InboundRow.__tablename__].c
_KNOWN = select(_INBOUND.id)
_DUE = text("""
    SELECT 1 FROM inbound WHERE state = 'waiting' AND due_at <= :now LIMIT 1
""")
_CHOOSE = """
    SELECT id FROM inbound WHERE state = 'waiting' AND due_at <= :now ORDER BY due_at, id LIMIT 1
"""
_LEASE = """
    UPDATE inbound SET due_at = :until, tries = tries + CASE WHEN found IS NULL THEN 1 ELSE 0 END
    WHERE id = ({chosen}) AND state = 'waiting'
    RETURNING id, received_at, mail_from, rcpt_to, raw, tries, found
"""
_LEASES = {
    "sqlite": text(_LEASE.format(chosen=_CHOOSE)),
    "postgresql": text(_LEASE.format(chosen=_CHOOSE + " FOR UPDATE SKIP LOCKED")),
}
_PUT_BACK = text("UPDATE inbound SET due_at = :due_at WHERE id = :id AND state = 'waiting'")
_STORE = text("""
    INSERT INTO inbound (id, received_at, via, mail_from, rcpt_to, size, raw, digest, due_at,
        state, tries, kind, bulk_id, seq, detail)
    VALUES (:id, :now, :via, :mail_from, :rcpt_to, :size, :raw, :digest, :now, 'waiting', 0, '', '', 0, '')
    ON CONFLICT (digest) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class NewInbound:
    """A mail as it was handed over. `mail_from` is empty for the null sender."""

    via: str
    """lmtp, smtp or api."""
    mail_from: str
    rcpt_to: str
    raw: bytes

    @property
    def digest(self) -> str:
        envelope = f"{self.mail_from}\n{self.rcpt_to}\n".encode("utf-8", "surrogateescape")
        return hashlib.sha256(envelope + self.raw).hexdigest()


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A mail that this process has for LEASE; `found` is None as long as nobody has read it."""

    id: str
    received_at: datetime
    mail_from: str
    rcpt_to: str
    raw: bytes
    tries: int
    found: Found | None


@dataclass(frozen=True, slots=True)
class Inbound:
    """A mail that came back, as it stands; without its bytes."""

    id: str
    received_at: datetime
    via: str
    mail_from: str
    rcpt_to: str
    size: int
    state: InboundState
    kind: str
    tries: int
    found: Any
    bulk_id: str
    seq: int
    detail: str
    processed_at: datetime | None


_COLUMNS = tuple(_INBOUND[name] for name in Inbound.__slots__)


async def store_inbound(connection: AsyncConnection, new: NewInbound, now: datetime) -> tuple[str, bool]:
    """Its id, and whether it is new: the same mail to the same address is stored once."""
    inbound_id = new_id("inb")
    row = {
        "id": inbound_id,
        "now": to_microseconds(now),
        "via": new.via,
        "mail_from": new.mail_from,
        "rcpt_to": new.rcpt_to,
        "size": len(new.raw),
        "raw": new.raw,
        "digest": new.digest,
    }
    if (await connection.execute(_STORE, row)).rowcount:
        return inbound_id, True
    return (await connection.execute(_KNOWN.where(_INBOUND.digest == new.digest))).scalar_one(), False


async def is_any_due(connection: AsyncConnection, now: datetime) -> bool:
    """Whether a mail waits to be taken up; writes nothing."""
    return (await connection.execute(_DUE, {"now": to_microseconds(now)})).first() is not None


async def take_up(archive: Archive, now: datetime) -> TakenUp | None:
    """The mail that has waited longest; nobody else gets it within LEASE."""
    lease = _LEASES["sqlite" if archive.is_sqlite else "postgresql"]
    until = to_microseconds(now + LEASE)
    async with archive.writing() as connection:
        row = (await connection.execute(lease, {"now": to_microseconds(now), "until": until})).one_or_none()
    if row is None:
        return None
    return TakenUp(
        id=row.id,
        received_at=from_microseconds(row.received_at),
        mail_from=row.mail_from,
        rcpt_to=row.rcpt_to,
        raw=bytes(row.raw),
        tries=row.tries,
        found=None if row.found is None else msgspec.json.decode(row.found, type=Found),
    )


async def put_back(connection: AsyncConnection, inbound_id: str, due_at: datetime) -> None:
    """It is taken up again then."""
    await connection.execute(_PUT_BACK, {"id": inbound_id, "due_at": to_microseconds(due_at)})


async def inbound_mails(
    connection: AsyncConnection,
    *,
    state: InboundState | None = None,
    kind: InboundKind | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[Inbound]:
    """The newest first; `after` is the id of the last one seen."""
    query = select(*_COLUMNS).order_by(_INBOUND.id.desc()).limit(limit)
    if state is not None:
        query = query.where(_INBOUND.state == state.value)
    if kind is not None:
        query = query.where(_INBOUND.kind == kind.value)
    if after is not None:
        query = query.where(_INBOUND.id < after)
    return [_inbound(row) for row in await connection.execute(query)]


async def inbound_mail(connection: AsyncConnection, inbound_id: str) -> Inbound:
    """Raises NotFound."""
    row = (await connection.execute(select(*_COLUMNS).where(_INBOUND.id == inbound_id))).one_or_none()
    if row is None:
        raise NotFound("There is no inbound mail with this id.")
    return _inbound(row)


async def inbound_raw(connection: AsyncConnection, inbound_id: str) -> bytes:
    """The mail as it came. Raises NotFound."""
    query = select(_INBOUND.raw).where(_INBOUND.id == inbound_id)
    raw = (await connection.execute(query)).scalar_one_or_none()
    if raw is None:
        raise NotFound("There is no inbound mail with this id.")
    return bytes(raw)


def _inbound(row: Any) -> Inbound:
    values = dict(row._mapping)
    values["state"] = InboundState(values["state"])
    return Inbound(**values)
