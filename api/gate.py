"""The gate before every call: whose key it came with, and whether it comes too often.

What the caller may do is asked later, by the route it takes (api/access.py).
"""

from __future__ import annotations

from fastapi import Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import is_public
from api.call_limits import UploadSlots, is_large
from api.dependencies import Parts
from api.errors import archive_away, problem
from api.loopback import comes_from_this_machine
from api.who import Caller, caller_of
from postwerk.contracts.keys import Scope as KeyScope
from postwerk.rules.call_rate import Call

_METRICS = "/metrics"
_DOCS = ("/docs", "/docs/oauth2-redirect", "/openapi.json")
_NO_KEY = "This call needs an API key: send Authorization: Bearer pw_..."
_NO_KEY_YET = (
    "There is no API key yet, and without one only this machine itself may call. Make the first one where "
    "the archive is: postwerk keys create NAME --scope admin"
)
_UPLOAD_SECONDS = 5
"""After which it is worth trying again."""
_BAD_KEY = "This API key is not taken: it is unknown, mistyped, expired or revoked."


class Gate:
    """Pure ASGI, so that streamed bodies pass untouched. Nothing but http passes at all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._let_in(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        parts: Parts = scope["app"].state.parts
        try:
            found = await _caller(request, parts)
        except (SQLAlchemyError, OSError) as error:
            found = await archive_away(request, error)
        who = _who(request, found)
        call = None if found is _PUBLIC else parts.calls.take(who)
        if call is not None:
            send = _with_headers(send, parts.calls.headers(call))
        if call is not None and call.wait:
            found = _too_many(request, call)
        if isinstance(found, Response):
            await found(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = found
        if is_large(request.headers):
            await self._taken_in(request, parts.uploads, who, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _taken_in(
        self, request: Request, uploads: UploadSlots, who: str, receive: Receive, send: Send
    ) -> None:
        if not uploads.enter(who):
            await _too_many_uploads(request)(request.scope, receive, send)
            return
        try:
            await self._app(request.scope, receive, send)
        finally:
            uploads.leave(who)


_PUBLIC = Caller(scopes=frozenset())
_SCRAPER = Caller(scopes=frozenset((KeyScope.READ,)))


async def _caller(request: Request, parts: Parts) -> Caller | Response:
    """Who calls, or the answer to somebody who may not."""
    path, given = request.scope["path"], request.headers.getlist("authorization")
    if is_public(request.method, path):
        return _PUBLIC
    if path in _DOCS and not given:
        return _reader_of_docs(request, parts)
    if path == _METRICS and parts.config.metrics_open and not given:
        return _SCRAPER
    if given:
        key = await parts.keys.key_for(_bearer(given), parts.now())
        return Caller.with_key(key) if key else _refused(request, _BAD_KEY, code="invalid_key")
    if (own := await caller_on_this_machine(request.scope, parts)) is not None:
        return own
    has_key = comes_from_this_machine(request.scope) or await parts.keys.is_any()
    return _refused(request, _NO_KEY if has_key else _NO_KEY_YET)


async def caller_on_this_machine(scope: Scope, parts: Parts) -> Caller | None:
    """Whoever calls from this machine itself without a key, as long as none is asked for; else None."""
    if not comes_from_this_machine(scope):
        return None
    is_open = parts.config.open_on_loopback or not await parts.keys.is_any()
    return Caller() if is_open else None


async def is_same_caller(request: Request, parts: Parts) -> bool:
    """Whether a call that goes on would still be let in, with the same rights."""
    return await _caller(request, parts) == caller_of(request)


def who_calls(request: Request) -> str:
    """Under whom a call that was let in is counted."""
    return _who(request, caller_of(request))


def _reader_of_docs(request: Request, parts: Parts) -> Caller | Response:
    """They hold no secrets, and are still nobody's business elsewhere unless a setting says so."""
    shown = parts.config.docs
    if shown is None:
        shown = comes_from_this_machine(request.scope)
    return _PUBLIC if shown else problem(request, 404, "There is no such thing here.")


def _bearer(given: list[str]) -> str:
    """The key of `Authorization: Bearer ...`; empty for anything else."""
    scheme, _, key = given[0].partition(" ")
    return key.strip() if scheme.lower() == "bearer" and len(given) == 1 else ""


def _refused(request: Request, detail: str, *, code: str | None = None) -> Response:
    answer = problem(request, 401, detail, code=code)
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _who(request: Request, found: Caller | Response) -> str:
    """Whose calls are counted: the key's, or the peer's, also while it tries wrong keys."""
    if isinstance(found, Caller) and found.owner:
        return found.owner
    return f"peer {request.client.host if request.client else ''}"


def _too_many(request: Request, call: Call) -> Response:
    detail = f"These are too many calls; come again in {call.wait} s."
    return problem(request, 429, detail, headers={"Retry-After": str(call.wait)})


def _too_many_uploads(request: Request) -> Response:
    detail = "You are sending too many large bodies at once; wait until one is through."
    return problem(
        request, 429, detail, code="too_many_uploads", headers={"Retry-After": str(_UPLOAD_SECONDS)}
    )


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers
