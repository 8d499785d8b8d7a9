"""Answers of the page: a rendered template, a way on, and the notice of what was done."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.page import tokens
from api.page.rendering import render
from api.page.visit import Visit, cookie_name, set_cookie

_NOTICE_SECONDS = 60
_LONGEST_NOTICE = 600


def page(visit: Visit, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A template in the layout, with the notice of what was done before, if there is one."""
    notice = _take_notice(visit)
    given = {"visit": visit, "viewer": visit, "notice": notice, "now": visit.parts.now(), **context}
    html = render(template, **given)
    answer = HTMLResponse(html, status)
    if visit.is_new:
        visit.keep(answer)
    if notice is not None:
        answer.delete_cookie(_notice_name(visit), path="/")
    return answer


def go_on(visit: Visit, to: str, notice: str = "", kind: str = "good", *, link: str = "") -> Response:
    """After a form: a page to GET, so that loading it again does nothing twice.

    `kind`: good, warn or bad; `link`: where more of it is told.
    """
    answer = RedirectResponse(to, 303)
    if notice:
        told = tokens.sealed(visit.cookie, {"text": notice[:_LONGEST_NOTICE], "kind": kind, "link": link})
        set_cookie(answer, visit.request, visit.parts, _notice_name(visit), told, _NOTICE_SECONDS)
    return answer


def _take_notice(visit: Visit) -> Any:
    """{"text", "kind", "link"}; None when there is nothing to tell."""
    given = visit.request.cookies.get(_notice_name(visit))
    return None if given is None else tokens.unsealed(visit.cookie, given)


def _notice_name(visit: Visit) -> str:
    return f"{cookie_name(visit.request, visit.parts)}-notice"
