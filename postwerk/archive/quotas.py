"""What owners had accepted lately, counted in the transaction that accepts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from postwerk.archive.api_keys import rights_of_owner
from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.sender_tables import QuotaUseRow
from postwerk.errors import QuotaExceeded
from postwerk.rules.pace import SECOND
from postwerk.rules.quotas import Quota, Use

_USE = SQLModel.metadata.tables[QuotaUseRow.__tablename__].c
_ADD = text("""
    INSERT INTO quota_use (owner, starts_at, n) VALUES (:owner, :starts_at, :n)
    ON CONFLICT (owner, starts_at) DO UPDATE SET n = quota_use.n + excluded.n
""")


async def charge_quota(connection: AsyncConnection, owner: str, messages: int, now: datetime) -> None:
    """Count the messages an owner has accepted with the commit of this transaction.

    An owner without a quota, or no owner at all, costs nothing. Raises QuotaExceeded: roll back.
    """
    if not owner or not messages:
        return
    rights = await rights_of_owner(connection, owner, locked=True)
    if rights is None or not rights.quota:
        return
    quota, moment = Quota.parse(rights.quota), to_microseconds(now)
    uses = await _uses(connection, owner, quota, moment)
    if quota.left(uses, moment) < messages:
        raise _exceeded(quota, uses, messages, moment)
    await _forget(connection, owner, quota, moment)
    await connection.execute(_ADD, {"owner": owner, "starts_at": quota.span_of(moment), "n": messages})


async def quota_left(connection: AsyncConnection, owner: str, written: str, now: datetime) -> int:
    """How many messages an owner with this quota may still have accepted."""
    quota, moment = Quota.parse(written), to_microseconds(now)
    return quota.left(await _uses(connection, owner, quota, moment), moment)


async def _uses(connection: AsyncConnection, owner: str, quota: Quota, moment: int) -> list[Use]:
    since = from_microseconds(quota.counts_from(moment))
    query = select(_USE.starts_at, _USE.n).where(_USE.owner == owner, _USE.starts_at > since)
    return [Use(to_microseconds(starts_at), n) for starts_at, n in await connection.execute(query)]


async def _forget(connection: AsyncConnection, owner: str, quota: Quota, moment: int) -> None:
    """What no longer counts; a quota has some two dozen rows at most."""
    since = from_microseconds(quota.counts_from(moment))
    await connection.execute(delete(QuotaUseRow).where(_USE.owner == owner, _USE.starts_at <= since))


def _exceeded(quota: Quota, uses: list[Use], messages: int, moment: int) -> QuotaExceeded:
    wait = -(-(quota.room_at(uses, moment, messages) - moment) // SECOND)
    left = quota.left(uses, moment)
    if not quota.fits_ever(messages):
        words = f"{messages:,} messages are more than the whole quota of this API key ({quota})."
    else:
        words = f"{messages:,} messages are too many for now: {left:,} are left of {quota}."
    return QuotaExceeded(f"{words} Nothing was accepted.", retry_after=max(1, wait))
