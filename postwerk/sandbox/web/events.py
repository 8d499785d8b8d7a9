"""The stream that tells an open page of changes (server-sent events)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson

from postwerk.sandbox.sandbox import Sandbox
from postwerk.sandbox.web import asgi
from postwerk.sandbox.web.asgi import Answer, Request

_MOST_LISTENERS = 100
# A page draws itself anew for each event: often enough to be live, seldom enough for a flood.
_PAUSE_SECONDS = 0.5
_SIGN_OF_LIFE_SECONDS = 15.0


class Events:
    """`changed` with the counts, now and after each change; never more than two in a second."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def stream(self, _request: Request) -> Answer:
        if self._sandbox.ledger.news.listeners >= _MOST_LISTENERS:
            return asgi.problem(503, f"{_MOST_LISTENERS} pages are open already", {"retry-after": "10"})
        return Answer(200, "text/event-stream", self._events())

    async def _events(self) -> AsyncIterator[bytes]:
        news = self._sandbox.ledger.news
        with news.listening() as heard:
            yield b"retry: 2000\n" + self._told()
            while not news.closed:
                if not await _comes(heard, _SIGN_OF_LIFE_SECONDS):
                    yield b": nothing new\n\n"
                    continue
                heard.clear()
                yield self._told()
                await asyncio.sleep(0 if news.closed else _PAUSE_SECONDS)

    def _told(self) -> bytes:
        return b"event: changed\ndata: " + orjson.dumps(self._sandbox.ledger.tally.told()) + b"\n\n"


async def _comes(heard: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(heard.wait(), seconds)
    except TimeoutError:
        return False
    return True
