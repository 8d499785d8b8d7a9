"""The page as an application of its own, and the door that hands it the addresses that are its."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.page import (
    routes_draft_lists,
    routes_draft_preview,
    routes_events,
    routes_lanes,
    routes_login,
    routes_message,
    routes_new_send,
    routes_operations,
    routes_overview,
    routes_queue,
    routes_sends,
    routes_suppressions,
)
from api.page.guard import guard
from api.page.headers import PageHeaders
from api.page.problems import add_problem_pages

ROOMS = (
    routes_login,
    routes_overview,
    routes_lanes,
    routes_new_send,
    routes_draft_lists,
    routes_draft_preview,
    routes_sends,
    routes_queue,
    routes_message,
    routes_operations,
    routes_suppressions,
    routes_events,
)
"""In this order addresses are looked for: `/sends/new` stands before `/sends/{bulk_id}`."""


class PageDoor:
    """Pure ASGI: what belongs to the page goes there, everything else on to the API."""

    def __init__(self, app: ASGIApp, page: ASGIApp) -> None:
        self._app = app
        self._page = page
        self._own = {_first(route.path) for room in ROOMS for route in room.router.routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _first(scope["path"]) in self._own:
            await self._page(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _first(path: str) -> str:
    """The first segment: `/sends/new` is told from `/v1/...` by it."""
    return path.split("/", 2)[1] if path.startswith("/") else path


def create_page(api: FastAPI) -> FastAPI:
    """The page beside an API, whose parts it works with."""
    page = FastAPI(title="Postwerk", docs_url=None, redoc_url=None, openapi_url=None)
    page.state = api.state  # the parts come there when the process has started
    add_problem_pages(page)
    page.add_middleware(PageHeaders)
    for room in ROOMS:
        page.include_router(room.router, dependencies=[Depends(guard)])
    return page
