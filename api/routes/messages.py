"""Messages: send one, find them, look at one with its attempts, and the exact bytes of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api.access import shown_to
from api.claim import Claim
from api.dependencies import UseParts
from api.errors import UnsupportedType
from api.idempotency import MayRepeat
from api.ids import bulk_cursor, bulk_id_of, message_id_of, seq_cursor
from api.making import json_response
from api.message_reading import message_in_full
from api.message_views import message_details, message_view, taken_message
from api.parameters import clean_text, only_parameters
from api.problem_schemas import problems
from api.rendered import rendered_mail
from api.request_schemas import MessageRequest
from api.schemas import MessageDetails, MessageList, TakenMessage
from api.taking.body import media_type, whole_body
from api.taking.json_body import read_document
from api.taking.message import TakenMessage as Taken
from api.taking.message import take_message
from api.taking.request import read_fields
from api.waiting import context_of, with_waits
from api.who import owner_of
from postwerk.archive import reads
from postwerk.archive.ids import new_bulk_id
from postwerk.archive.reads import MessageFilter
from postwerk.contracts.states import MessageState

router = APIRouter(prefix="/v1", tags=["messages"])


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MessageRequest"}}},
    }
}


@router.post(
    "/messages",
    status_code=202,
    response_model=TakenMessage,
    responses=problems(400, 409, 413, 415, 422, 503),
    openapi_extra=_BODY,
)
async def create(request: Request, parts: UseParts, repeatable: MayRepeat) -> Response:
    """Send one transactional mail: before all bulk mail, and by a workflow of its own.

    Once this answered 202 the message is stored and survives any crash. With `coalesce` it waits for others
    of its key, and of these only the one with the highest rank is sent.
    """
    only_parameters(request)
    if media_type(request)[0] != "application/json":
        raise UnsupportedType("Send application/json.")
    body = await whole_body(request, parts.config.max_body_bytes)

    async def make(claim: Claim) -> Response:
        wanted = read_fields(MessageRequest, read_document(body))

        async def remember(connection: AsyncConnection, taken: Taken) -> None:
            await claim.remember(connection, answer(taken))

        def answer(taken: Taken) -> Response:
            view = taken_message(request, parts, taken)
            return json_response(view, 202, view.links["self"])

        owner = owner_of(request)
        return answer(
            await take_message(parts, wanted, bulk_id=claim.resource, owner=owner, remember=remember)
        )

    return await repeatable.once(body, new_bulk_id, make)


@router.get("/messages", response_model=MessageList, responses=problems(422, 503))
async def list_single(
    request: Request,
    parts: UseParts,
    state: MessageState | None = None,
    to: Annotated[str | None, Query(max_length=254, description="the whole address")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: str | None = None,
) -> MessageList:
    """The transactional messages, newest first; to a key that may only send, its own.

    Those of a bulk send are below it.
    """
    only_parameters(request, "state", "to", "limit", "after")
    last_seen = None if after is None else bulk_cursor(after.removesuffix(".1"))
    async with parts.archive.reading() as connection:
        found = await reads.single_messages(
            connection,
            state=state,
            to=clean_text(to, "?to"),
            owner=shown_to(request),
            limit=limit + 1,
            after=last_seen,
        )
        context = await context_of(parts, connection, found[:limit])
    page = [message_view(told) for told in await with_waits(parts, found[:limit], context)]
    has_more = len(found) > limit
    return MessageList(has_more=has_more, next=page[-1].id if has_more else None, data=page)


@router.get("/bulk-sends/{bulk_id}/messages", response_model=MessageList, responses=problems(404, 422, 503))
async def list_messages(
    parts: UseParts,
    bulk_id: str,
    state: MessageState | None = None,
    lane: Annotated[str | None, Query(max_length=255)] = None,
    q: Annotated[str | None, Query(max_length=254, description="part of the address")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: str | None = None,
) -> MessageList:
    """The messages of a bulk send in their order."""
    bulk_id, last_seen = bulk_id_of(bulk_id), seq_cursor(after)
    wanted = MessageFilter(state=state, lane=clean_text(lane, "?lane"), q=clean_text(q, "?q"))
    async with parts.archive.reading() as connection:
        await reads.bulk_send(connection, bulk_id)
        found = await reads.messages(connection, bulk_id, wanted, limit=limit + 1, after=last_seen)
        context = await context_of(parts, connection, found[:limit])
    page = [message_view(told) for told in await with_waits(parts, found[:limit], context)]
    has_more = len(found) > limit
    return MessageList(has_more=has_more, next=str(page[-1].seq) if has_more else None, data=page)


@router.get("/messages/{message_id}", response_model=MessageDetails, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, message_id: str) -> MessageDetails:
    """One message with every attempt made for it."""
    told, attempts = await message_in_full(parts, *message_id_of(message_id))
    return message_details(request, parts, told, attempts)


@router.get(
    "/messages/{message_id}/content",
    response_class=Response,
    responses={
        200: {"content": {"message/rfc822": {}}, "description": "The mail as it goes out, byte for byte"},
        **problems(404, 409, 422, 503),
    },
)
async def content(parts: UseParts, message_id: str) -> Response:
    """The exact bytes of the mail, rendered again."""
    mail = await rendered_mail(parts, *message_id_of(message_id))
    return Response(mail, media_type="message/rfc822")
