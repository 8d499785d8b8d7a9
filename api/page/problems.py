"""What went wrong, as a page: one sentence, and the way out."""

from __future__ import annotations

import traceback

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.exceptions import HTTPException

from api.dependencies import Parts
from api.errors import RETRY_SECONDS, BrokenOff, InvalidFields, loggable, status_of, title_of
from api.page.answers import go_on, page
from api.page.drafts import NotADraft
from api.page.guard import FromElsewhere, NotLoggedIn
from api.page.rendering import render
from api.page.visit import Visit, begin_visit, inside
from postwerk.errors import InvalidRequest, PostwerkError, QuotaExceeded
from postwerk.observe import log

_ARCHIVE_AWAY = "The archive does not answer; nothing was changed. This page tries again by itself."


def add_problem_pages(app: FastAPI) -> None:
    app.add_exception_handler(FromElsewhere, _come_again)
    app.add_exception_handler(NotLoggedIn, _to_login)
    app.add_exception_handler(NotADraft, _to_the_send)
    app.add_exception_handler(PostwerkError, _known)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(HTTPException, _http)
    for kind in (SQLAlchemyError, OSError, TimeoutError):
        app.add_exception_handler(kind, _archive_away)
    app.add_exception_handler(Exception, _unexpected)


def problem_page(request: Request, status: int, detail: str, fields: list[str] | None = None) -> Response:
    """A problem in the layout; what goes on by itself is looked at again after some seconds."""
    visit = _visit(request)
    answer = page(
        visit, "problem.html", status=status, title=title_of(status), detail=detail, fields=fields or []
    )
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
        if request.method == "GET":
            answer.headers["Refresh"] = str(RETRY_SECONDS)
    return answer


def _visit(request: Request) -> Visit:
    """As the guard found it; an address that does not exist has passed no guard."""
    found = getattr(request.state, "visit", None)
    parts: Parts = request.app.state.parts
    return found if isinstance(found, Visit) else begin_visit(request, parts)


async def _come_again(_request: Request, error: Exception) -> Response:
    """The same address once more, now from a page of our own: the browser sends its cookie."""
    assert isinstance(error, FromElsewhere)
    return HTMLResponse(render("come_again.html", here=inside(error.here)), headers={"Refresh": "0"})


async def _to_login(_request: Request, error: Exception) -> Response:
    assert isinstance(error, NotLoggedIn)
    return Response(status_code=303, headers={"Location": error.login})


async def _to_the_send(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotADraft)
    return go_on(_visit(request), f"/sends/{error.bulk_id}", error.message, "warn")


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, PostwerkError)
    cause = error.cause if isinstance(error, BrokenOff) else error
    answer = problem_page(request, status_of(cause), cause.message, _fields(cause))
    if isinstance(cause, QuotaExceeded):
        answer.headers["Retry-After"] = str(cause.retry_after)
    return answer


def _fields(error: PostwerkError) -> list[str]:
    if isinstance(error, InvalidFields):
        return [f"{one['pointer'].lstrip('#/?')}: {one['detail']}" for one in error.errors]
    if isinstance(error, InvalidRequest) and error.pointer != "#":
        return [error.pointer.lstrip("#/?")]
    return []


async def _invalid_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
    return problem_page(request, 422, "A part of the address cannot be taken.", fields)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "There is no such page.", 405: "This address takes no such request."}
    return problem_page(request, error.status_code, words.get(error.status_code, str(error.detail)))


async def _archive_away(request: Request, error: Exception) -> Response:
    if isinstance(error, IntegrityError):
        return await _unexpected(request, error)
    log.archive_away(error)
    return problem_page(request, 503, _ARCHIVE_AWAY)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Ours. Logged by type and place: the message of an exception may hold addresses."""
    where = "".join(traceback.format_tb(error.__traceback__)[-5:])
    path = loggable(request.url.path)
    log.call_failed(request.method, path, error, where)
    request_id = request.scope.get("state", {}).get("request_id", "")
    return problem_page(request, 500, f"This should not have happened; our log has it as {request_id}.")
