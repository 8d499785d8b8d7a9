"""Every error as a problem document (RFC 9457), made in this one place."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from postwerk.contracts.keys import Scope
from postwerk.errors import (
    Conflict,
    ContentError,
    Forbidden,
    InvalidRequest,
    NotFound,
    PostwerkError,
    QuotaExceeded,
    TooLarge,
)
from postwerk.observe import log

RETRY_SECONDS = 5
MOST_ERRORS = 1000
_ADDRESS_IN_PATH = re.compile(r"(?<=/suppressions/).+|(?<=^/u/).+|[^/]*(?:@|%40).*", re.DOTALL)
_TITLES = {
    400: ("malformed", "The request cannot be read"),
    401: ("unauthorized", "An API key is needed"),
    403: ("forbidden", "This is not yours to do"),
    404: ("not_found", "There is no such thing here"),
    405: ("method_not_allowed", "This call does not exist"),
    409: ("conflict", "The state does not allow this"),
    410: ("gone", "This is not kept any more"),
    413: ("too_large", "The request is too large"),
    415: ("unsupported_media_type", "This kind of body is not taken here"),
    422: ("invalid", "The request cannot be taken as it is"),
    429: ("too_many_requests", "Too much for now"),
    500: ("internal", "Something went wrong on our side"),
    503: ("unavailable", "A part of the system is away"),
}

_UNNAMED = ("error", "The request failed")


class MalformedCall(PostwerkError):
    """The call cannot be read."""

    def __init__(self, message: str = "", *, pointer: str = "#", code: str = "malformed") -> None:
        super().__init__(message)
        self.pointer = pointer
        self.code = code


class MalformedBody(MalformedCall):
    """The body cannot be read."""


class UnsupportedType(PostwerkError):
    """This kind of body is not taken here."""

    def __init__(self, message: str = "", *, accept_encoding: str = "") -> None:
        """`accept_encoding`: what is taken, when the encoding is what is wrong."""
        super().__init__(message)
        self.accept_encoding = accept_encoding


class InProgress(Conflict):
    """The first call with this key is still being carried out; ask again in a moment."""

    code = "idempotency_in_progress"
    retry_seconds = 1


class KeyReused(InvalidRequest):
    """This key came with another call before; give each call a key of its own."""

    def __init__(self) -> None:
        super().__init__(pointer="Idempotency-Key", code="idempotency_key_reused")


class Unavailable(PostwerkError):
    """A part of the system is away; try again soon."""


class Gone(PostwerkError):
    """What is asked for is not kept any more."""

    code = "gone"


class TooManyAtOnce(PostwerkError):
    """This caller has too many of these open at the same time; close one."""

    code = "too_many_at_once"
    retry_after = 15


class MissingScope(Forbidden):
    """The API key has not the scope that this call needs."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"This API key lacks the scope {scope}.", code="missing_scope")
        self.scope = scope


class InvalidFields(InvalidRequest):
    """Several fields are wrong; `errors` names each."""

    def __init__(self, message: str, errors: Sequence[dict[str, str]]) -> None:
        super().__init__(message)
        self.errors = list(errors)


class BrokenOff(PostwerkError):
    """A part of a list stopped in the middle; `so_far` says what was taken before."""

    def __init__(self, cause: PostwerkError, so_far: dict[str, Any]) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.so_far = so_far


_STATUS: tuple[tuple[type[PostwerkError], int], ...] = (
    (MalformedCall, 400),
    (UnsupportedType, 415),
    (Unavailable, 503),
    (TooLarge, 413),
    (InvalidRequest, 422),
    (ContentError, 422),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Gone, 410),
    (QuotaExceeded, 429),
    (TooManyAtOnce, 429),
)


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(PostwerkError, _known)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(SQLAlchemyError, archive_away)
    app.add_exception_handler(OSError, archive_away)
    app.add_exception_handler(TimeoutError, archive_away)
    app.add_exception_handler(ClientDisconnect, _client_gone)


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    code: str | None = None,
    errors: Sequence[dict[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """A problem document as the answer."""
    own_code, title = _TITLES.get(status, _UNNAMED)
    code = code or own_code
    document = {
        "type": f"urn:postwerk:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
        "request_id": request.scope.get("state", {}).get("request_id", ""),
        "errors": list(errors)[:MOST_ERRORS],
        **more,
    }
    waits = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    body = orjson.dumps(document, default=str)
    return Response(body, status, {**waits, **(headers or {})}, media_type="application/problem+json")


def status_of(error: PostwerkError) -> int:
    """The status that says what kind of error it is."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def title_of(status: int) -> str:
    """What a status means, in a few words."""
    return _TITLES.get(status, _UNNAMED)[1]


def loggable(path: str) -> str:
    """The path without what may be an address, or a link that acts (P7)."""
    return _ADDRESS_IN_PATH.sub("...", path, count=1)


def answer_to(request: Request, error: PostwerkError) -> Response:
    """The problem document of one of our errors."""
    if isinstance(error, BrokenOff):
        return _answer(request, error.cause, **error.so_far)
    return _answer(request, error)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, PostwerkError)
    return answer_to(request, error)


def _answer(request: Request, error: PostwerkError, **more: Any) -> Response:
    status = status_of(error)
    code = getattr(error, "code", None)
    if isinstance(error, MissingScope):
        more["scope"] = error.scope
    return problem(
        request, status, error.message, code=code, errors=_named(error), headers=_headers(error), **more
    )


def _headers(error: PostwerkError) -> dict[str, str]:
    if isinstance(error, InProgress):
        return {"Retry-After": str(error.retry_seconds)}
    if isinstance(error, QuotaExceeded | TooManyAtOnce):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, UnsupportedType) and error.accept_encoding:
        return {
            "Accept-Encoding": error.accept_encoding
        }  # RFC 9110 12.5.3: in an answer it says what we take
    return {}


def _named(error: PostwerkError) -> list[dict[str, str]]:
    if isinstance(error, InvalidFields):
        return error.errors
    if isinstance(error, InvalidRequest | MalformedCall | Forbidden) and error.pointer != "#":
        return [{"pointer": error.pointer, "code": error.code, "detail": error.message}]
    return []


async def _invalid_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "pointer": "?" + "/".join(str(part) for part in problem["loc"][1:]),
            "code": str(problem["type"]),
            "detail": str(problem["msg"]),
        }
        for problem in error.errors()
    ]
    return problem(request, 422, "A parameter of the address cannot be taken.", errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem(request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def archive_away(request: Request, error: Exception) -> Response:
    """Full disk, locked or lost database: nothing was stored, and the caller may try again."""
    if isinstance(error, IntegrityError):
        return await unexpected(request, error)
    log.archive_away(error)
    return problem(request, 503, "The archive does not answer; nothing was stored. Try again soon.")


async def _client_gone(request: Request, error: Exception) -> Response:
    log.client_gone(request.method, loggable(request.url.path), error)
    return Response(status_code=499)


async def unexpected(request: Request, error: Exception) -> Response:
    """Ours. Logged by type and place: the message of an exception may hold addresses."""
    where = "".join(traceback.format_tb(error.__traceback__)[-5:])
    log.call_failed(request.method, loggable(request.url.path), error, where)
    return problem(request, 500, "This should not have happened; the request id finds it in our log.")
