"""Messages: find them, look at one with its attempts, and the exact bytes of it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import UseParts
from api.ids import bulk_id_of, message_id_of, seq_cursor
from api.message_views import message_details, message_view
from api.parameters import clean_text
from api.problem_schemas import problems
from api.schemas import MessageDetails, MessageList
from api.waiting import context_of, with_waits
from postwerk.archive import reads
from postwerk.archive.blobs import sound, stored_files
from postwerk.archive.reads import MessageFilter
from postwerk.contracts.content import MailIdentity
from postwerk.contracts.states import MessageState
from postwerk.mime.composer import Composer

router = APIRouter(prefix="/v1", tags=["messages"])


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
    bulk_id, seq = message_id_of(message_id)
    async with parts.archive.reading() as connection:
        message = await reads.message(connection, bulk_id, seq)
        await reads.bulk_send(connection, bulk_id)
        attempts = await reads.attempts(connection, bulk_id, seq)
        context = await context_of(parts, connection, [message])
    [told] = await with_waits(parts, [message], context)
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
    bulk_id, seq = message_id_of(message_id)
    async with parts.archive.reading() as connection:
        sent, accepted_at, recipient = await reads.sent_content(connection, bulk_id, seq)
        files = await stored_files(connection, sent)
    identity, imprint = MailIdentity(bulk_id, accepted_at), await parts.imprint()
    mail = await asyncio.to_thread(lambda: Composer(sent, identity, imprint, sound(files)).compose(recipient))
    return Response(mail, media_type="message/rfc822")
