"""Bulk sends: make, list, look at, start, cancel."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from api import bulk_orders
from api.access import shown_to
from api.beginning import read_start, start_list
from api.claim import Claim
from api.dependencies import Parts, UseParts
from api.errors import UnsupportedType
from api.idempotency import MayRepeat
from api.ids import bulk_cursor, bulk_id_of
from api.making import json_response, make_bulk_send
from api.operation_orders import MOST_BYTES, read_reason
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.request_schemas import BulkSendRequest
from api.schemas import BulkSendList, BulkSendView, Checked, Taken
from api.sending_view import view_of
from api.taking.body import media_type, whole_body
from api.taking.content import resolve
from api.taking.dry_run import MOST_SAMPLES, report
from api.taking.json_body import read_json
from api.taking.order_body import object_of
from api.taking.request import new_bulk_send, read_request
from api.taking.storing import check_for_recipients
from api.trial import make_test
from api.views import bulk_send_view
from api.waiting import waits_of_sends
from api.who import By, WhoCalls
from postwerk.archive import reads
from postwerk.archive.ids import new_bulk_id
from postwerk.contracts.states import BulkState, SendKind
from postwerk.rules.api_keys import check_from

router = APIRouter(prefix="/v1/bulk-sends", tags=["bulk sends"])
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BulkSendRequest"}}},
    }
}

_START: dict[str, Any] = {
    "requestBody": {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/StartOrder"}}},
    }
}
_REASON: dict[str, Any] = {
    "requestBody": {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ReasonOrder"}}},
    }
}


_TEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TestOrder"}}},
    }
}


@router.post(
    "",
    status_code=202,
    response_model=Taken,
    responses={
        200: {"model": Checked, "description": "A dry run: nothing was stored"},
        **problems(400, 409, 413, 415, 422, 503),
    },
    openapi_extra=_BODY,
)
async def create(
    request: Request,
    parts: UseParts,
    caller: WhoCalls,
    repeatable: MayRepeat,
    dry_run: bool = False,
    samples: Annotated[int, Query(ge=0, le=MOST_SAMPLES, description="of a dry run")] = 3,
) -> Any:
    """Start a bulk send.

    Once this answered 202 the send is stored and survives any crash. With `"validation": "permissive"` a
    recipient that cannot be taken is listed in `errors` and the others are sent to; with `"strict"` one of
    them refuses the whole request. The same address twice counts in `duplicates` and gets one mail.

    With `?dry_run=true` nothing is stored: the answer tells what would be taken, which variables recipients
    lack, what looks odd, and shows the mails of the first `samples` recipients.
    """
    only_parameters(request, "dry_run", "samples")  # a misspelt one must not send mail
    body = await _body(request, parts)
    if dry_run:
        wanted, entries = await _read(parts, body)
        new = new_bulk_send(
            wanted,
            parts.config.retry,
            parts.config.relay_names,
            parts.now(),
            public_url=parts.config.public_url,
        )
        check_from(caller.domains, new.content)
        check_for_recipients(entries, wanted.open)
        return json_response(await report(parts, new, entries, samples), 200)

    async def make(claim: Claim) -> Response:
        return await make_bulk_send(request, parts, *await _read(parts, body), claim)

    return await repeatable.once(body, new_bulk_id, make)


async def _body(request: Request, parts: Parts) -> bytes:
    if media_type(request)[0] != "application/json":
        raise UnsupportedType("Send application/json.")
    return await whole_body(request, parts.config.max_body_bytes)


async def _read(parts: Parts, body: bytes) -> tuple[BulkSendRequest, list[msgspec.Raw]]:
    document, entries = read_json(body)
    return await resolve(parts, read_request(document)), entries


@router.get("", response_model=BulkSendList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    state: Annotated[list[BulkState] | None, Query()] = None,
    kind: Annotated[list[SendKind] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: str | None = None,
) -> BulkSendList:
    """The bulk sends, newest first; with `kind` also what else is stored as a send of its own.

    To a key that may only send, its own.
    """
    async with parts.archive.reading() as connection:
        found = await reads.bulk_sends(
            connection,
            states=state or (),
            kinds=kind or (SendKind.BULK,),
            owner=shown_to(request),
            limit=limit + 1,
            after=bulk_cursor(after),
        )
    waits = await waits_of_sends(parts, found[:limit])
    page = [bulk_send_view(request, parts, send, wait) for send, wait in zip(found, waits, strict=False)]
    has_more = len(found) > limit
    return BulkSendList(has_more=has_more, next=page[-1].id if has_more else None, data=page)


@router.get("/{bulk_id}", response_model=BulkSendView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, bulk_id: str) -> BulkSendView:
    """One bulk send: state, counts, rate and end in sight."""
    return await view_of(request, parts, bulk_id_of(bulk_id))


@router.post(
    "/{bulk_id}/start",
    status_code=202,
    response_model=BulkSendView,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=_START,
)
async def start(request: Request, parts: UseParts, repeatable: MayRepeat, bulk_id: str) -> Any:
    """Close the list of an open bulk send and start it, or have it begin at `send_at`.

    Calling it again changes nothing.
    """
    bulk_id = bulk_id_of(bulk_id)
    body = await whole_body(request, MOST_BYTES)

    async def make(_claim: Claim) -> Response:
        await start_list(parts, bulk_id, read_start(body))
        return json_response(await view_of(request, parts, bulk_id), 202)

    return await repeatable.once(body, str, make)


@router.post(
    "/{bulk_id}/test",
    status_code=202,
    response_model=Taken,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=_TEST,
)
async def test(request: Request, parts: UseParts, actor: By, repeatable: MayRepeat, bulk_id: str) -> Response:
    """Send one mail that shows what this bulk send looks like, "[Test]" before its subject.

    It is a bulk send of its own, also while this one is open, paused or ended.
    """
    only_parameters(request)
    bulk_id = bulk_id_of(bulk_id)
    body = await whole_body(request, MOST_BYTES)

    async def make(claim: Claim) -> Response:
        return await make_test(request, parts, bulk_id, object_of(body), actor, claim)

    return await repeatable.once(body, new_bulk_id, make)


@router.post(
    "/{bulk_id}/cancel",
    status_code=202,
    response_model=BulkSendView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=_REASON,
)
async def cancel(request: Request, parts: UseParts, actor: By, bulk_id: str) -> BulkSendView:
    """Stop for good: every message not yet handed over ends `cancelled`. Calling it again changes nothing."""
    bulk_id = bulk_id_of(bulk_id)
    await bulk_orders.cancel(parts, bulk_id, await read_reason(request, required=False), actor)
    return await view_of(request, parts, bulk_id)


@router.post(
    "/{bulk_id}/pause",
    status_code=202,
    response_model=BulkSendView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=_REASON,
)
async def pause(request: Request, parts: UseParts, actor: By, bulk_id: str) -> BulkSendView:
    """Stop for now: no SMTP transaction starts later than five seconds after the answer.

    Its clock stands still: the deadline moves by the time it is paused.
    """
    bulk_id = bulk_id_of(bulk_id)
    await bulk_orders.pause(parts, bulk_id, await read_reason(request, required=True), actor)
    return await view_of(request, parts, bulk_id)


@router.post(
    "/{bulk_id}/resume",
    status_code=202,
    response_model=BulkSendView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=_REASON,
)
async def resume(request: Request, parts: UseParts, actor: By, bulk_id: str) -> BulkSendView:
    """Go on with a paused send. One that is not paused goes on as it is."""
    bulk_id = bulk_id_of(bulk_id)
    await bulk_orders.resume(parts, bulk_id, await read_reason(request, required=False), actor)
    return await view_of(request, parts, bulk_id)
