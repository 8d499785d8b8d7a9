"""The rows of an uploaded list become recipients: beside the request that asked for it, and once.

It is done under an idempotency key of its own (api/idempotency.py): after a crash it goes on behind what was
stored, and whoever asks meanwhile, here or at another process, learns that somebody is at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request, Response

from api.claim import Claim
from api.dependencies import Parts
from api.errors import BrokenOff, Unavailable
from api.idempotency import Repeatable
from api.page.list_uploading import charset_of, pieces_of
from api.taking.mapped_rows import Columns, MappedReader
from api.taking.part_progress import PartProgress
from api.taking.parts import store_part
from postwerk.archive import drafts, idempotency
from postwerk.archive.drafts import DraftList
from postwerk.archive.engine import Archive
from postwerk.archive.idempotency import Name
from postwerk.rules.idempotency import LEASE

PATIENCE = 2.0
"""Seconds that a browser waits for the end, before it is shown how far it is."""
_OWNER = "page"
"""Of its idempotency keys: no API key is called so, and whoever goes on with a list, it is the same list."""
SHOWN = 50
"""Refused rows that are kept for showing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a list whose columns are known and whose rows are not all taken."""

    rows: int
    """Recipients taken so far."""
    is_running: bool
    """False: whoever was at it is gone, and it waits to be gone on with."""


def columns_of(one: DraftList) -> Columns | None:
    """What its columns mean; None: nobody has said yet."""
    said = (one.columns or {}).get("columns")
    return None if said is None else msgspec.convert(said, Columns, strict=False)


def with_columns(one: DraftList, columns: Columns) -> dict[str, Any]:
    """As it is written down."""
    return {**(one.columns or {}), "columns": msgspec.to_builtins(columns, str_keys=True)}


async def take_list(request: Request, parts: Parts, one: DraftList) -> None:
    """Begin to take its rows, or go on; when this returns it may still be at it. Raises what went wrong."""
    task = parts.background.begin(one.id, _taken(request, parts, one))
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    for one_task in done:
        await one_task


async def _taken(request: Request, parts: Parts, one: DraftList) -> None:
    repeatable = Repeatable(request, parts, one.id, owner=_OWNER)

    async def make(claim: Claim, pieces: AsyncIterator[bytes]) -> Response:
        await _store(parts.archive, one, pieces, claim)
        return Response()

    answer = await repeatable.once_streamed(pieces_of(parts.archive, one), make)
    if answer.status_code >= 400:  # it takes no recipients any more, or is gone
        detail = "The send was started or discarded before all of it was taken."
        await _write_down(parts.archive, one, {"state": drafts.BROKEN, "detail": detail})


async def _store(archive: Archive, one: DraftList, pieces: AsyncIterator[bytes], claim: Claim) -> None:
    columns = columns_of(one)
    assert columns is not None, "told before"
    reader = MappedReader(columns, charset_of(one))
    try:
        tally = await store_part(archive, one.bulk_id, reader, pieces, claim)
        found: dict[str, Any] = {
            "state": drafts.TAKEN,
            "accepted": tally.accepted,
            "rejected": tally.rejected,
            "duplicates": tally.duplicates,
            "refused": [refusal._asdict() for refusal in tally.errors[:SHOWN]],
        }
    except BrokenOff as error:
        if isinstance(error.cause, Unavailable):
            raise
        so_far = {name: error.so_far[name] for name in ("accepted", "rejected", "duplicates")}
        detail = f"Row {error.so_far['stopped_at_row']}: {error.cause.message}"
        found = {"state": drafts.BROKEN, "detail": detail, **so_far}
    await _write_down(archive, one, found)


async def _write_down(archive: Archive, one: DraftList, found: dict[str, Any]) -> None:
    async with archive.writing() as connection:
        await drafts.set_list(connection, one.id, **found)


async def progress_of(parts: Parts, one: DraftList) -> Progress | None:
    """None when nobody has said what its columns mean, or it has come to its end."""
    if one.state != drafts.HERE or columns_of(one) is None:
        return None
    async with parts.archive.reading() as connection:
        known = await idempotency.remembered(connection, Name(_OWNER, one.id))
    if known is None:
        return Progress(0, is_running=parts.background.has(one.id))
    held = bool(known.holder) and known.held_since is not None
    since = known.held_since
    is_running = held and since is not None and parts.now() - since <= LEASE
    rows = PartProgress.read(known.answer).accepted if known.status is None else 0
    return Progress(rows, is_running or parts.background.has(one.id))
