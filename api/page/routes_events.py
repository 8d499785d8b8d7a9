"""What happened last: the newest events, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.dependencies import Parts
from api.ids import bulk_id_of
from api.page.answers import page
from api.page.following import follow
from api.page.rendering import render
from api.page.visit import UseVisit
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.latest_events import END, latest_events
from postwerk.contracts.events import Event, EventType
from postwerk.errors import InvalidRequest

router = APIRouter()

PER_PAGE = 50
_ABOUT = ("message", "bulk_send", "lane", "suppression")
_KINDS = {
    **dict.fromkeys(("delivered", "completed", "recovered", "started", "resumed", "accepted"), "ok"),
    **dict.fromkeys(("deferred", "paused", "cooling", "stalled", "threshold", "unsubscribed"), "warn"),
    **dict.fromkeys(("bounced", "failed", "expired", "unknown", "complained"), "bad"),
}
AskedType = Annotated[str, Query(alias="type", max_length=40)]
AskedBulk = Annotated[str, Query(alias="bulk", max_length=40)]


@router.get("/events")
async def events(
    visit: UseVisit,
    asked: AskedType = "",
    bulk: AskedBulk = "",
    before: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """The newest; with `before`, those before that one, which change no more."""
    given = await _given(visit.parts, asked, bulk, before)
    query = urlencode({"type": asked, "bulk": bulk})
    live = "" if before else f"/live/events?{query}"
    older = {"type": asked, "bulk": bulk, "before": given["reached"] or ""}
    return page(
        visit,
        "events.html",
        **given,
        asked=asked,
        bulk=bulk,
        before=before,
        live=live,
        older=urlencode({name: value for name, value in older.items() if value}),
        about=_ABOUT,
        types=list(EventType),
    )


@router.get("/live/events", response_class=EventSourceResponse)
async def live(
    visit: UseVisit, asked: AskedType = "", bulk: AskedBulk = ""
) -> AsyncIterator[ServerSentEvent]:
    """The newest as they come."""
    parts = visit.parts

    async def draw() -> dict[str, str]:
        return {"event-rows": render("parts/event_rows.html", **await _given(parts, asked, bulk, None))}

    async for event in follow(visit, ("events", asked, bulk), draw):
        yield event


async def _given(parts: Parts, asked: str, bulk: str, before: str | None) -> dict[str, Any]:
    """Raises InvalidRequest for a type or a cursor that there is not, NotFound for no id of a bulk send."""
    cursor = Cursor.parse(before) if before else END
    async with parts.archive.reading() as connection:
        found = await latest_events(
            connection,
            limit=PER_PAGE,
            types=_types(asked),
            bulk_id=bulk_id_of(bulk) if bulk else "",
            before=cursor,
        )
    rows = [(event, kind_of(event)) for event in found.events]
    return {"rows": rows, "reached": found.reached, "now": parts.now()}


def _types(asked: str) -> list[str] | None:
    """One type, or all about one kind of thing; None: any."""
    if not asked:
        return None
    types = [one.value for one in EventType if one == asked or one.partition(".")[0] == asked]
    if not types:
        raise InvalidRequest("There is no such type of event.", pointer="?type", code="invalid_type")
    return types


def kind_of(event: Event) -> str:
    """The colour of its badge."""
    return _KINDS.get(event.type.partition(".")[2], "idle")
