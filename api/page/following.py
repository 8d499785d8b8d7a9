"""A live stream to one tab: the changes of a shared scene, with the tab's own token."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Hashable

import orjson
from fastapi.sse import ServerSentEvent

from api.page.live import Render
from api.page.viewer import for_one
from api.page.visit import Visit

LOOKS_EVERY_SECONDS = 10.0
"""How often is asked whether the session still holds."""


async def follow(visit: Visit, key: Hashable, render: Render) -> AsyncIterator[ServerSentEvent]:
    """One message for each change: a JSON object, HTML by the id of the element that it replaces."""
    token, looked_at = visit.token, time.monotonic()
    async for changed in visit.parts.page.board.follow(key, render):
        if time.monotonic() - looked_at >= LOOKS_EVERY_SECONDS:
            if not await _still_holds(visit):
                return
            looked_at = time.monotonic()
        if changed:
            own = {id_: for_one(html, token) for id_, html in changed.items()}
            yield ServerSentEvent(raw_data=orjson.dumps(own).decode(), retry=2000)


async def _still_holds(visit: Visit) -> bool:
    """Who came in without a session needs none now."""
    parts = visit.parts
    return not visit.has_session or await parts.sessions.key_of(visit.cookie, parts.now()) is not None
