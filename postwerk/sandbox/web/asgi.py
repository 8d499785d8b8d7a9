"""As much of ASGI as the sandbox needs: routes by pattern, answers as values, safe headers on each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from postwerk.sandbox.web.guard import Guard

# A mail is a stranger's text: our own script and style, no other site's picture, no frame around us.
_SAFE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-dns-prefetch-control": "off",
    # Not no-referrer: with that, browsers send our own forms with `Origin: null`, as from nowhere.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

_LARGEST_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response; the body is bytes, or pieces as they come."""

    status: int
    kind: str
    body: bytes | AsyncIterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What a route looks at: the parts of the path its pattern caught, the query and the body."""

    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    """Empty unless the method is PUT or POST."""

    @property
    def caught(self) -> str:
        return self.parts[0]

    @property
    def form(self) -> dict[str, str]:
        return _pairs(self.body)


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one pattern of paths."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[[Request], Awaitable[Answer]]


class App:
    """An ASGI callable over a list of routes."""

    def __init__(self, routes: Sequence[Route], guard: Guard) -> None:
        self._routes = routes
        self._guard = guard

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        answer = await self._answer(scope, receive)
        headers = {"content-type": answer.kind, **_SAFE, **answer.headers}
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        if isinstance(answer.body, bytes):
            await send({"type": "http.response.body", "body": answer.body})
        else:
            await _stream(answer.body, receive, send)

    async def _answer(self, scope: Mapping[str, Any], receive: Any) -> Answer:
        headers = dict(scope["headers"])
        if not self._guard.knows_host(headers):
            return problem(421, "this server does not answer to the name in Host; see --http-name")
        allowed = []
        for route in self._routes:
            match = route.pattern.fullmatch(scope["path"])
            if match and route.method == scope["method"]:
                if route.method != "GET" and self._guard.is_from_another_site(headers):
                    return problem(403, "only this site's own pages and programs may do that")
                body = await _body(receive) if route.method in ("PUT", "POST") else b""
                if body is None:
                    return problem(413, f"a body has at most {_LARGEST_BODY} bytes")
                return await route.answer(Request(match.groups(), _pairs(scope["query_string"]), body))
            if match:
                allowed.append(route.method)
        if allowed:
            return problem(405, "this method is not offered here", {"allow": ", ".join(allowed)})
        return problem(404, "there is nothing here")


def json(value: object, status: int = 200) -> Answer:
    return Answer(status, "application/json", orjson.dumps(value))


def done() -> Answer:
    return Answer(204, "text/plain", b"")


def html(page: str, status: int = 200) -> Answer:
    return Answer(status, "text/html; charset=utf-8", page.encode("utf-8", "replace"))


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(
        status, "application/problem+json", orjson.dumps({"status": status, "detail": detail}), headers or {}
    )


async def _stream(pieces: AsyncIterator[bytes], receive: Any, send: Any) -> None:
    """Send the pieces until there are no more, or nobody who reads them."""
    sending = asyncio.ensure_future(_send_all(pieces, send))
    leaving = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            task.cancel()
        results = await asyncio.gather(sending, leaving, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]


async def _send_all(pieces: AsyncIterator[bytes], send: Any) -> None:
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Any) -> bytes | None:
    """The whole body, or None when it is larger than any of ours."""
    body, more = b"", True
    while more and len(body) <= _LARGEST_BODY:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body if len(body) <= _LARGEST_BODY else None


def _pairs(written: bytes) -> dict[str, str]:
    return dict(parse_qsl(written.decode("latin-1"), keep_blank_values=True, errors="replace"))
