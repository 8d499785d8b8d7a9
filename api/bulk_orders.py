"""Pausing, resuming and cancelling a whole bulk send: first in the archive, then in Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.dependencies import Parts
from api.errors import Unavailable
from postwerk.archive import bulks, reads
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.intake import begin_cancel
from postwerk.archive.reads import BulkSend
from postwerk.contracts.options import earlier
from postwerk.contracts.orders import BeginningSignal, DeadlineSignal, ExpirySignal, HoldSignal
from postwerk.contracts.states import ENDED, BulkState
from postwerk.errors import Conflict

NOTED_WITHIN = 2.0
"""Seconds a caller waits for the workflow to take note."""
LOOK = 0.05


async def pause(parts: Parts, bulk_id: str, reason: str, actor: Actor) -> None:
    """From this commit on no worker starts another transaction for longer than a second (P6).

    Raises NotFound, Conflict. The workflow is told now or by the reconciler.
    """
    now = parts.now()
    async with parts.archive.writing() as connection:
        send = await reads.bulk_send(connection, bulk_id)
        if not await bulks.move_bulk(connection, bulk_id, BulkState.PAUSED, now=now, reason=reason):
            raise Conflict(f"This bulk send is {send.state}: there is nothing to pause.")
        await write_audit(connection, actor, "bulk.pause", at=now, target=bulk_id, reason=reason)
    await parts.starter.signal(bulk_id, "hold", HoldSignal(reason=reason))


async def resume(parts: Parts, bulk_id: str, reason: str, actor: Actor) -> None:
    """Go on; a send that is not paused just goes on.

    Raises NotFound, Conflict, Unavailable: Temporal is away.
    """
    now = parts.now()
    async with parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
    if send.state in ENDED or send.state in (BulkState.CANCELLING, BulkState.OPEN):
        raise Conflict(f"This bulk send is {send.state}: there is nothing to resume.")
    if send.state is not BulkState.PAUSED:
        return
    await _release(parts, send)
    async with parts.archive.writing() as connection:
        await write_audit(connection, actor, "bulk.resume", at=now, target=bulk_id, reason=reason)


async def _release(parts: Parts, send: BulkSend) -> None:
    """The workflow moves the deadline by the time held; of one that never began there is none to move."""
    told = await parts.starter.signal(send.id, "release", HoldSignal())
    if told is None:
        raise Unavailable("Temporal is away, so the bulk send stays paused; try again soon.")
    if not told:
        async with parts.archive.writing() as connection:
            await bulks.unpause_unstarted(connection, send.id)
        await parts.starter.start_stored(send.id, parts.now())
        return
    await _until(parts, lambda connection: _is_resumed(connection, send.id))


async def _is_resumed(connection: AsyncConnection, bulk_id: str) -> bool:
    return await bulks.bulk_state(connection, bulk_id) is not BulkState.PAUSED


async def _until(parts: Parts, look: Callable[[AsyncConnection], Awaitable[bool]]) -> None:
    """So that the answer shows it; when no worker is there to take note, it is shown as it was until then."""
    for _ in range(int(NOTED_WITHIN / LOOK)):
        async with parts.archive.reading() as connection:
            if await look(connection):
                return
        await asyncio.sleep(LOOK)


async def cancel(parts: Parts, bulk_id: str, reason: str, actor: Actor) -> None:
    """Stop for good. Raises NotFound, Conflict. Doing it again changes nothing."""
    now = parts.now()
    async with parts.archive.writing() as connection:
        before = (await reads.bulk_send(connection, bulk_id)).state
        state = await begin_cancel(connection, bulk_id, reason or f"cancelled by {actor.by}")
        if state is not before:
            await write_audit(connection, actor, "bulk.cancel", at=now, target=bulk_id, reason=reason)
    if state in (BulkState.COMPLETED, BulkState.FAILED):
        raise Conflict(f"This bulk send is {state}; there is nothing left to cancel.")
    if state is BulkState.CANCELLING:
        await parts.starter.cancel(bulk_id, now)


async def set_deadline(
    parts: Parts, send: BulkSend, deadline: datetime, expires_at: datetime | None = None
) -> None:
    """The end of its time, if it is not paused. Raises Unavailable: Temporal is away."""
    end = earlier(deadline, expires_at)
    if await _told(parts, send, "set_deadline", DeadlineSignal(deadline=deadline)):
        # A paused send's deadline is kept without the time held: there is no telling, and no need to wait.
        await _until_row(parts, send, lambda row: row.state is BulkState.PAUSED or row.deadline == end)


async def set_expiry(parts: Parts, send: BulkSend, expires_at: datetime | None) -> None:
    """The moment at which what is left of it expires. Raises Unavailable."""
    if await _told(parts, send, "set_expiry", ExpirySignal(expires_at=expires_at)) and expires_at:
        await _until_row(parts, send, lambda row: row.deadline is None or row.deadline <= expires_at)


async def set_beginning(parts: Parts, send: BulkSend, send_at: datetime) -> None:
    """When it begins. Raises Unavailable."""
    if await _told(parts, send, "set_beginning", BeginningSignal(send_at=send_at)):
        await _until_row(parts, send, lambda row: row.started_at is not None or row.begins_at == send_at)


async def _told(parts: Parts, send: BulkSend, name: str, signal: BaseModel) -> bool:
    """False when no workflow runs: the archive is all there is to change."""
    told = await parts.starter.signal(send.id, name, signal)
    if told is None:
        raise Unavailable("Temporal is away, so its times stay as they are; try again soon.")
    return told


async def _until_row(parts: Parts, send: BulkSend, is_so: Callable[[BulkSend], bool]) -> None:
    async def look(connection: AsyncConnection) -> bool:
        return is_so(await reads.bulk_send(connection, send.id))

    await _until(parts, look)
