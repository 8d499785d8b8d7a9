"""Writing a bulk send: small ones in one transaction, large ones in chunks of which the last one counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from api.errors import InvalidFields
from api.taking.ndjson_rows import read_entry
from postwerk.archive.engine import Archive
from postwerk.archive.intake import (
    INTAKE_SHARD,
    NewBulkSend,
    add_recipients,
    erase_storing,
    open_bulk_send,
    queue_bulk_send,
    store_bulk_send,
)
from postwerk.archive.plan import plan_batches
from postwerk.contracts.orders import BatchOrder
from postwerk.contracts.states import BulkState
from postwerk.errors import InvalidRequest
from postwerk.rules.partition import SMALL_SEND
from postwerk.rules.recipients import NewRecipient, Refusal

T = TypeVar("T")

CHUNK = 500
"""Recipients a transaction: about 10 ms for which a worker on the same SQLite file waits."""
SLICE = 64
"""Recipients parsed before others get their turn: under a millisecond, 15 ms if all are odd ones."""
MOST_LISTED = 1000


@dataclass(slots=True)
class Refusals:
    """The entries of a list that were not taken so far."""

    rejected: int = 0
    errors: list[Refusal] = field(default_factory=list)
    """The first thousand."""

    def refuse(self, refusal: Refusal) -> None:
        self.rejected += 1
        if len(self.errors) < MOST_LISTED:
            self.errors.append(refusal)


@dataclass(slots=True)
class Tally(Refusals):
    """What became of the recipients so far."""

    accepted: int = 0
    duplicates: int = 0
    batches: tuple[BatchOrder, ...] | None = None
    suppressed: int | None = None
    """Those of the accepted who are on the suppression list; None: found out when it is planned."""


Remember = Callable[[AsyncConnection, Tally], Awaitable[None]]
"""Called in the transaction that accepts a bulk send, when it is known what became of its recipients."""


Confirm = Callable[[AsyncConnection], Awaitable[None]]
"""Called in each transaction before that one; what it raises ends the storing, and all is taken back."""


async def remember_nothing(connection: AsyncConnection, tally: Tally) -> None:  # noqa: ARG001
    return None


async def confirm_nothing(connection: AsyncConnection) -> None:  # noqa: ARG001
    return None


class Chunks(Generic[T]):
    """Parsed entries, handed out a chunk at a time; what is refused goes to the tally."""

    def __init__(self, tally: Refusals) -> None:
        self._tally = tally
        self.rows: list[T] = []

    async def take(self, found: Iterable[T | Refusal]) -> AsyncIterator[list[T]]:
        """Collect; answers each full chunk, with the others' turns in between."""
        for number, one in enumerate(found, 1):
            if isinstance(one, Refusal):
                self._tally.refuse(one)
            else:
                self.rows.append(one)
            if len(self.rows) == CHUNK:
                yield self.rows
                self.rows = []
            elif number % SLICE == 0:
                await asyncio.sleep(0)


async def store_request(
    archive: Archive,
    new: NewBulkSend,
    entries: Sequence[msgspec.Raw],
    *,
    keep_open: bool,
    strict: bool,
    now: Callable[[], datetime],
    confirm: Confirm = confirm_nothing,
    remember: Remember = remember_nothing,
) -> Tally:
    """Store a bulk send with the recipients of its request; an InvalidRequest leaves nothing stored.

    What `remember` raises takes it back as a whole.
    """
    check_for_recipients(entries, keep_open)
    if strict:
        await _check_all(entries)
    if len(entries) <= CHUNK:
        return await _store_at_once(archive, new, entries, keep_open, now, remember)
    return await _store_in_chunks(archive, new, entries, keep_open, now, confirm, remember)


def check_for_recipients(entries: Sequence[msgspec.Raw], keep_open: bool) -> None:
    """Raises InvalidRequest when there is nobody to send to, now or later."""
    if not entries and not keep_open:
        raise InvalidRequest("There are no recipients.", pointer="#/recipients", code="missing")


async def store_for_one(
    archive: Archive,
    new: NewBulkSend,
    recipient: NewRecipient,
    now: Callable[[], datetime],
    remember: Remember,
) -> Tally:
    """Store a bulk send to one recipient, in one commit."""
    tally = Tally()
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        tally.accepted, tally.duplicates = await add_recipients(connection, new.id, [recipient])
        await _finish(connection, new, tally, False, now)
        await remember(connection, tally)
    return tally


async def _store_at_once(
    archive: Archive,
    new: NewBulkSend,
    entries: Sequence[msgspec.Raw],
    keep_open: bool,
    now: Callable[[], datetime],
    remember: Remember,
) -> Tally:
    tally = Tally()
    recipients = [recipient async for chunk in _chunks(entries, tally) for recipient in chunk]
    if not recipients and not keep_open:
        raise _nobody(tally)
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
        if entries:
            tally.accepted, tally.duplicates = await add_recipients(
                connection, new.id, recipients, tally.rejected
            )
        await _finish(connection, new, tally, keep_open, now)
        await remember(connection, tally)
    return tally


async def _store_in_chunks(
    archive: Archive,
    new: NewBulkSend,
    entries: Sequence[msgspec.Raw],
    keep_open: bool,
    now: Callable[[], datetime],
    confirm: Confirm,
    remember: Remember,
) -> Tally:
    """A crash in between leaves a send that is `storing`: never sent, erased by the reconciler."""
    tally = Tally()
    async with archive.writing() as connection:
        await store_bulk_send(connection, new, BulkState.STORING)
    try:
        await _add_chunks(archive, new.id, entries, tally, confirm)
        if not tally.accepted and not keep_open:
            raise _nobody(tally)
        async with archive.writing() as connection:
            await _finish(connection, new, tally, keep_open, now)
            await remember(connection, tally)
    except BaseException:
        await asyncio.shield(erase_half_stored(archive, new.id))
        raise
    return tally


async def _add_chunks(
    archive: Archive, bulk_id: str, entries: Sequence[msgspec.Raw], tally: Tally, confirm: Confirm
) -> None:
    told = 0
    async for chunk in _chunks(entries, tally):
        async with archive.writing() as connection:
            added = await add_recipients(connection, bulk_id, chunk, tally.rejected - told)
            await confirm(connection)
        told = tally.rejected
        tally.accepted += added.accepted
        tally.duplicates += added.duplicates


async def _finish(
    connection: AsyncConnection, new: NewBulkSend, tally: Tally, keep_open: bool, now: Callable[[], datetime]
) -> None:
    """The commit after this is the durable one: what a 202 stands on."""
    if keep_open:
        await open_bulk_send(connection, new.id)
        return
    moment = now()
    await queue_bulk_send(connection, new.id, moment, new.options)
    if tally.accepted <= SMALL_SEND:
        plan = await plan_batches(
            connection, new.id, new.options.recipients_per_child, now=moment, shard=INTAKE_SHARD
        )
        tally.batches = plan.orders
        tally.suppressed = tally.accepted - sum(batch.messages for batch in plan.orders)


async def _chunks(entries: Sequence[msgspec.Raw], tally: Tally) -> AsyncIterator[list[NewRecipient]]:
    chunks: Chunks[NewRecipient] = Chunks(tally)
    async for chunk in chunks.take(read_entry(index, entry) for index, entry in enumerate(entries)):
        yield chunk
    yield chunks.rows  # also when empty: it carries the last refusals to the archive


async def _check_all(entries: Sequence[msgspec.Raw]) -> None:
    tally = Tally()
    async for _chunk in _chunks(entries, tally):
        pass
    if tally.rejected:
        errors = [recipient_error(refusal) for refusal in tally.errors]
        raise InvalidFields(f"{tally.rejected:,} recipients cannot be taken; nothing was stored.", errors)


def _nobody(tally: Tally) -> InvalidFields:
    errors = [recipient_error(refusal) for refusal in tally.errors]
    return InvalidFields("No recipient can be taken; nothing was stored.", errors)


def recipient_error(refusal: Refusal) -> dict[str, str]:
    """A refusal as an entry of a problem document."""
    where = f"#/recipients/{refusal.row}" + (f"/{refusal.field}" if refusal.field != "#" else "")
    return {"pointer": where, "code": refusal.code, "detail": refusal.detail}


async def erase_half_stored(archive: Archive, bulk_id: str) -> None:
    """Erase what was written of a bulk send that is still `storing`; any other is left alone."""
    more = True
    while more:
        async with archive.writing() as connection:
            more = await erase_storing(connection, bulk_id)
