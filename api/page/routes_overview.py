"""The overview at `/`, and its live stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.ids import is_bulk_id
from api.page.answers import page
from api.page.following import follow
from api.page.overview import Look, Overview, context, take_overview
from api.page.rendering import render
from api.page.viewer import Anybody, Viewer
from api.page.visit import UseVisit
from api.views import base_url
from postwerk.archive.send_pages import SendCursor
from postwerk.rules.curves import SPANS

router = APIRouter()
PARTS = ("health", "figures", "chart", "sends", "lanes", "failures")
AskedSpan = Annotated[str, Query(alias="span", max_length=10)]
AskedAfter = Annotated[str, Query(alias="after", max_length=60)]


@router.get("/")
async def overview(visit: UseVisit, span: AskedSpan = "", after: AskedAfter = "") -> Response:
    """How everything does, on one page."""
    found = await take_overview(visit.parts, look(span, after))
    base = base_url(visit.request, visit.parts)
    return page(visit, "overview.html", **context(found, base), live=f"/live?{visit.request.url.query}")


@router.get("/live", response_class=EventSourceResponse)
async def live(
    visit: UseVisit, span: AskedSpan = "", after: AskedAfter = ""
) -> AsyncIterator[ServerSentEvent]:
    """Its parts as they change, for as long as somebody looks."""
    looked_at, base = look(span, after), base_url(visit.request, visit.parts)
    anybody = Anybody(visit.scopes)

    async def draw() -> dict[str, str]:
        return parts_of(await take_overview(visit.parts, looked_at), base, anybody)

    async for event in follow(visit, ("overview", looked_at, base, anybody.scopes), draw):
        yield event


def look(span: str, after: str) -> Look:
    """What is asked for; what cannot be read is left out."""
    chosen = next((one for one in SPANS if one.name == span), SPANS[0])
    ended, _, bulk_id = after.partition(":")
    cursor = SendCursor(ended == "ended", bulk_id) if is_bulk_id(bulk_id) else None
    return Look(chosen, cursor)


def parts_of(found: Overview, base: str, viewer: Viewer) -> dict[str, str]:
    """HTML by the ids of its elements."""
    given = context(found, base)
    return {f"part-{name}": render(f"parts/{name}.html", viewer=viewer, **given) for name in PARTS}
