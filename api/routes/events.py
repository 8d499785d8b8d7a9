"""Events: what happened, page by page or as it happens."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api.access import shown_to
from api.dependencies import Parts, UseParts
from api.event_reading import START, Wanted, check_kept, collect, cursor_of, document_of
from api.event_schemas import EventList
from api.gate import is_same_caller, who_calls
from api.ids import bulk_id_of
from api.parameters import only_parameters
from api.problem_schemas import problems
from postwerk.archive import reads
from postwerk.archive.outbox import Cursor, newest
from postwerk.contracts.events import EventType
from postwerk.errors import NotFound

router = APIRouter(prefix="/v1", tags=["events"])

Types = Annotated[list[EventType] | None, Query(alias="type", max_length=50)]
After = Annotated[str | None, Query(max_length=100)]
Limit = Annotated[int, Query(ge=1, le=1000)]
LastEventId = Annotated[str | None, Header(max_length=100)]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_LIST: dict[int | str, dict[str, Any]] = {200: {"model": EventList}}


@router.get("/events", responses=_LIST | problems(404, 410, 422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    types: Types = None,
    bulk_send: Annotated[str | None, Query(max_length=100)] = None,
    repeated: bool = True,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Events behind `after`, or from the oldest that is kept on; oldest first.

    Of these types, of one bulk send, or, with `repeated=false`, without deferrals for the same reason as
    before. To a key that may only send, those of its own sends.
    """
    only_parameters(request, "type", "bulk_send", "repeated", "limit", "after")
    wanted = await _wanted(request, parts, types, bulk_send, repeated)
    return await _page(parts, wanted, after, limit)


@router.get("/events/stream", response_class=Response, responses=_STREAM | problems(404, 410, 422, 503))
async def stream_all(
    request: Request,
    parts: UseParts,
    types: Types = None,
    bulk_send: Annotated[str | None, Query(max_length=100)] = None,
    repeated: bool = True,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The same events as they happen, as server-sent events, each with its id.

    Behind the header `Last-Event-ID`, or `after`; else from now on.
    """
    only_parameters(request, "type", "bulk_send", "repeated", "after")
    wanted = await _wanted(request, parts, types, bulk_send, repeated)
    return await _stream(request, parts, wanted, after, last_event_id)


@router.get("/bulk-sends/{bulk_id}/events", responses=_LIST | problems(404, 410, 422, 503))
async def list_of_one(
    request: Request,
    parts: UseParts,
    bulk_id: str,
    types: Types = None,
    repeated: bool = True,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """What happened to one bulk send and its messages."""
    only_parameters(request, "type", "repeated", "limit", "after")
    wanted = await _wanted(request, parts, types, bulk_id_of(bulk_id), repeated)
    return await _page(parts, wanted, after, limit)


@router.get(
    "/bulk-sends/{bulk_id}/events/stream",
    response_class=Response,
    responses=_STREAM | problems(404, 410, 422, 503),
)
async def stream_of_one(
    request: Request,
    parts: UseParts,
    bulk_id: str,
    types: Types = None,
    repeated: bool = True,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """What happens to one bulk send and its messages, as it happens."""
    only_parameters(request, "type", "repeated", "after")
    wanted = await _wanted(request, parts, types, bulk_id_of(bulk_id), repeated)
    return await _stream(request, parts, wanted, after, last_event_id)


async def _wanted(
    request: Request, parts: Parts, types: list[EventType] | None, bulk_send: str | None, repeated: bool
) -> Wanted:
    """Raises NotFound for a bulk send that is not there for this caller."""
    owner = shown_to(request)
    if bulk_send is not None:
        async with parts.archive.reading() as connection:
            send = await reads.bulk_send(connection, bulk_id_of(bulk_send))
            if owner is not None and not await reads.are_all_of(connection, owner, [send.id]):
                raise NotFound("There is no bulk send with this id.")
    return Wanted(tuple(types) if types else None, owner, bulk_send or "", repeated)


async def _page(parts: Parts, wanted: Wanted, after: str | None, limit: int) -> Response:
    cursor = START if after is None else cursor_of(after, "?after")
    async with parts.archive.reading() as connection:
        await check_kept(connection, cursor)
        page, has_more = await collect(connection, wanted, cursor, limit)
    return Response(
        orjson.dumps(document_of(page, has_more), option=orjson.OPT_UTC_Z), media_type="application/json"
    )


async def _stream(
    request: Request, parts: Parts, wanted: Wanted, after: str | None, last_event_id: str | None
) -> Response:
    async with parts.archive.reading() as connection:
        cursor = await _begin(connection, after, last_event_id)
    return parts.streams.open(who_calls(request), wanted, cursor, partial(is_same_caller, request, parts))


async def _begin(connection: AsyncConnection, after: str | None, last_event_id: str | None) -> Cursor:
    """A reader that comes again says more by its header than by the address it was given."""
    if last_event_id:
        return await check_kept(connection, cursor_of(last_event_id, "Last-Event-ID"))
    if after is not None:
        return await check_kept(connection, cursor_of(after, "?after"))
    return await newest(connection)
