"""Around every request: its id, the security headers, and an answer even to a bug."""

from __future__ import annotations

import re
import secrets
import time

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import unexpected
from postwerk.observe import log, tracing
from postwerk.observe.metrics.calls import NO_ROUTE, answered

_TAKEN_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_NOTHING_TO_LOAD = "default-src 'none'; frame-ancestors 'none'"
_PAGES = ("/docs", "/redoc")
"""The API's own pages load scripts; everything else is data."""


class Envelope:
    """Pure ASGI: a streaming body passes through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request_id = _request_id(request)
        scope.setdefault("state", {})["request_id"] = request_id
        method, headers = scope["method"], request.headers
        with log.about(request=request_id), tracing.call(method, scope["path"], headers, request_id) as call:
            status, seconds = await self._answered(request, receive, send, request_id)
            answered(method, _route(scope), status, seconds)
            call.answered(method, _route(scope), status)

    async def _answered(
        self, request: Request, receive: Receive, send: Send, request_id: str
    ) -> tuple[int, float]:
        """The status and the seconds of the answer, whoever gave it."""
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _dress(MutableHeaders(scope=message), request_id, request.scope["path"])
            await send(message)

        try:
            await self._app(request.scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001  the last line: the caller gets a problem document
            answer = await unexpected(request, error)
            if not status:
                await answer(request.scope, receive, send_with_headers)
        return status, time.perf_counter() - began


def _route(scope: Scope) -> str:
    """The template of the route it took: a path may hold an address."""
    return getattr(scope.get("route"), "path_format", NO_ROUTE)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _TAKEN_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def _dress(headers: MutableHeaders, request_id: str, path: str) -> None:
    headers["X-Request-Id"] = request_id
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if not path.startswith(_PAGES):
        headers.setdefault("Content-Security-Policy", _NOTHING_TO_LOAD)
