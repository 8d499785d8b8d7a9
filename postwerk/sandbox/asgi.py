"""As much of ASGI as the sandbox needs: routes by pattern, answers as values, safe headers on each."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

# A mail is a stranger's text: no script, no remote picture, no frame around us, no guessing of types.
# Styles stand inline in mails, and the sandboxed frame that shows one takes over this very policy.
_SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
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
    """What a route looks at: the part of the path its pattern caught, the query and the body."""

    caught: str
    query: Mapping[str, str]
    body: bytes
    """Empty unless the method is PUT."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one pattern of paths."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[[Request], Awaitable[Answer]]


class App:
    """An ASGI callable over a list of routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        answer = await self._answer(scope, receive)
        headers = {"content-type": answer.kind, **_SAFE, **answer.headers}
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        if isinstance(answer.body, bytes):
            await send({"type": "http.response.body", "body": answer.body})
            return
        async for piece in answer.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def _answer(self, scope: Mapping[str, Any], receive: Any) -> Answer:
        allowed = []
        for route in self._routes:
            match = route.pattern.fullmatch(scope["path"])
            if match and route.method == scope["method"]:
                if route.method != "GET" and _is_from_another_site(scope):
                    return problem(403, "only this site's own pages and programs may do that")
                body = await _body(receive) if route.method == "PUT" else b""
                if body is None:
                    return problem(413, f"a body has at most {_LARGEST_BODY} bytes")
                return await route.answer(Request(match[match.lastindex or 0], _query(scope), body))
            if match:
                allowed.append(route.method)
        if allowed:
            return problem(405, "this method is not offered here", {"allow": ", ".join(allowed)})
        return problem(404, "there is nothing here")


def json(value: object, status: int = 200) -> Answer:
    return Answer(status, "application/json", orjson.dumps(value))


def done() -> Answer:
    return Answer(204, "text/plain", b"")


def html(page: str) -> Answer:
    return Answer(200, "text/html; charset=utf-8", page.encode("utf-8", "replace"))


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(
        status, "application/problem+json", orjson.dumps({"status": status, "detail": detail}), headers or {}
    )


def _is_from_another_site(scope: Mapping[str, Any]) -> bool:
    """Browsers say where a request comes from; other programs do not, and no page can make them send one."""
    return any(
        name == b"sec-fetch-site" and value not in (b"same-origin", b"none")
        for name, value in scope["headers"]
    )


async def _body(receive: Any) -> bytes | None:
    """The whole body, or None when it is larger than any of ours."""
    body, more = b"", True
    while more and len(body) <= _LARGEST_BODY:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body if len(body) <= _LARGEST_BODY else None


def _query(scope: Mapping[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace"))
