"""Coming in with an API key, leaving again, and the files that every page loads."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response

from api.page.answers import go_on, page
from api.page.forms import UseForm
from api.page.static_files import BY_NAME
from api.page.visit import UseVisit, Visit, inside
from api.who import Caller
from postwerk.contracts.keys import Scope
from postwerk.errors import NotFound

router = APIRouter()
_FOR_EVER = "public, max-age=31536000, immutable"
_BAD_KEY = "This API key is not taken: it is unknown, mistyped, expired or revoked."


@router.get("/login")
async def ask(visit: UseVisit, next: str = "/") -> Response:
    """The form that takes a key."""
    return _form(visit, inside(next))


@router.post("/login")
async def come_in(visit: UseVisit, form: UseForm) -> Response:
    """Begin a session, under a new cookie."""
    parts, back_to = visit.parts, inside(form.get("next"))
    key = await parts.keys.key_for(form.get("key"), parts.now())
    if key is None:
        return _form(visit, back_to, _BAD_KEY)
    visit.cookie = secrets.token_urlsafe(32)
    await parts.sessions.begin(visit.cookie, key, parts.now())
    answer = go_on(visit, _first_page(Caller.with_key(key), back_to))
    visit.keep(answer)
    return answer


@router.post("/logout")
async def leave(visit: UseVisit) -> Response:
    """End the session at once."""
    await visit.parts.sessions.end(visit.cookie)
    visit.cookie = secrets.token_urlsafe(32)
    answer = go_on(visit, "/login", "You are logged out.")
    visit.keep(answer)
    return answer


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """Style or script; by an old name it is not there any more."""
    file = BY_NAME.get(name)
    if file is None:
        raise NotFound
    headers = {"Cache-Control": _FOR_EVER, "ETag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _form(visit: Visit, back_to: str, wrong: str = "") -> Response:
    return page(visit, "login.html", status=403 if wrong else 200, back_to=back_to, wrong=wrong)


def _first_page(caller: Caller, back_to: str) -> str:
    """A key that may only send has nothing to see on the overview."""
    return "/sends/new" if back_to == "/" and Scope.READ not in caller.scopes else back_to
