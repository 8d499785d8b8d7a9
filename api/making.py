"""Making a bulk send: stored, its answer remembered in the same commit, then started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from api.claim import Claim
from api.dependencies import Parts
from api.request_schemas import BulkSendRequest
from api.taking.request import new_bulk_send
from api.taking.storing import Remember, Tally, erase_half_stored, store_for_one, store_request
from api.views import taken
from api.who import owner_of
from postwerk.archive.intake import NewBulkSend
from postwerk.contracts.states import BulkState
from postwerk.rules.recipients import NewRecipient
from postwerk.rules.starting import start_order


def json_response(answer: BaseModel, status: int, location: str = "") -> Response:
    """An answer as bytes, so that they can be remembered."""
    headers = {"Location": location} if location else None
    return Response(answer.model_dump_json(), status, headers, media_type="application/json")


async def make_bulk_send(
    request: Request, parts: Parts, wanted: BulkSendRequest, entries: Sequence[msgspec.Raw], claim: Claim
) -> Response:
    """A bulk send with the recipients of its request; 202 once it is stored. Raises InvalidRequest."""
    await _clear(parts, claim)
    new = new_bulk_send(
        wanted,
        parts.config.retry,
        parts.config.relay_names,
        parts.now(),
        owner=owner_of(request),
        bulk_id=claim.resource,
    )
    state = BulkState.OPEN if wanted.open else BulkState.QUEUED
    answered = partial(_answer, request, parts, new.id, state, len(entries))
    tally = await store_request(
        parts.archive,
        new,
        entries,
        keep_open=wanted.open,
        strict=wanted.validation == "strict",
        now=parts.now,
        confirm=claim.confirm,
        remember=_rememberer(claim, answered, new),
    )
    if not wanted.open:
        await _start(parts, new, tally)
    return answered(tally)


async def make_for_one(
    request: Request,
    parts: Parts,
    new: NewBulkSend,
    recipient: NewRecipient,
    claim: Claim,
    also: Callable[[AsyncConnection], Awaitable[object]],
) -> Response:
    """A bulk send to one recipient, whatever its kind; `new.id` is `claim.resource`.

    `also` is done in the same commit.
    """
    await _clear(parts, claim)
    answered = partial(_answer, request, parts, new.id, BulkState.QUEUED, 1)
    remember = _rememberer(claim, answered, new)

    async def remember_all(connection: AsyncConnection, tally: Tally) -> None:
        await also(connection)
        await remember(connection, tally)

    tally = await store_for_one(parts.archive, new, recipient, parts.now, remember_all)
    await _start(parts, new, tally)
    return answered(tally)


async def _clear(parts: Parts, claim: Claim) -> None:
    """Erase what a call that died left half stored: it can never be accepted, for its turn is over."""
    if claim.before:
        await erase_half_stored(parts.archive, claim.before)


def _rememberer(claim: Claim, answered: Callable[[Tally], Response], new: NewBulkSend) -> Remember:
    """Accepted and answered in one commit: whoever comes after a crash finds both, or neither."""

    async def remember(connection: AsyncConnection, tally: Tally) -> None:
        await claim.remember(connection, answered(tally), send_time(new))

    return remember


def send_time(new: NewBulkSend) -> datetime | None:
    """When its mail is to be sent, if it says so."""
    moment: datetime | None = getattr(new.options, "send_at", None)
    return moment


def _answer(
    request: Request, parts: Parts, bulk_id: str, state: BulkState, total: int, tally: Tally
) -> Response:
    answer = taken(request, parts, bulk_id, state, total, tally)
    return json_response(answer, 202, answer.links["self"])


async def _start(parts: Parts, new: NewBulkSend, tally: Tally) -> None:
    order = start_order(new.id, tally.accepted, new.options, tally.batches)
    await parts.starter.start(order, new.name)
