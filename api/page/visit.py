"""Whoever looks at the page: as whom, by which cookie, and what may be shown of it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response

from api.dependencies import Parts
from api.page import tokens
from api.who import Caller
from postwerk.archive.audit import Actor
from postwerk.contracts.keys import Scope

_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_OPEN_NAME, _SECURE_NAME = "postwerk", "__Host-postwerk"


@dataclass(slots=True)
class Visit:
    """One request to the page."""

    request: Request
    parts: Parts
    cookie: str
    """Random, and kept by the browser: it stands for a session, or only ties forms to who was shown them."""
    is_new: bool
    """The browser has no cookie yet."""
    caller: Caller | None = None
    """None: nobody who is let in."""
    has_session: bool = False

    def may(self, scope: str) -> bool:
        """Whether to show what needs this scope; the routes ask for themselves."""
        return Scope(scope) in self.scopes

    @property
    def scopes(self) -> frozenset[Scope]:
        return self.caller.scopes if self.caller else frozenset()

    @property
    def token(self) -> str:
        """What each of its forms carries."""
        return tokens.form_token(self.cookie)

    @property
    def actor(self) -> Actor:
        """How the audit trail names who acts here."""
        name = self.caller.name if self.caller else ""
        return Actor(by=name or "page", via="page")

    @property
    def name(self) -> str:
        """Of the key, for the page's head; empty without one."""
        return self.caller.name if self.caller else ""

    def keep(self, answer: Response) -> None:
        """Let the browser keep the cookie. To scripts and to other sites it does not exist."""
        set_cookie(answer, self.request, self.parts, cookie_name(self.request, self.parts), self.cookie)


def begin_visit(request: Request, parts: Parts) -> Visit:
    """With the cookie that the browser has, or a new one."""
    given = request.cookies.get(cookie_name(request, parts), "")
    known = bool(_COOKIE.fullmatch(given))
    return Visit(request, parts, given if known else secrets.token_urlsafe(32), not known)


def visit_of(request: Request) -> Visit:
    """As the guard found it."""
    visit = getattr(request.state, "visit", None)
    assert isinstance(visit, Visit), "every route of the page is guarded"
    return visit


UseVisit = Annotated[Visit, Depends(visit_of)]


def set_cookie(
    answer: Response, request: Request, parts: Parts, name: str, value: str, max_age: int | None = None
) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=max_age,
        path="/",
        secure=is_secure(request, parts),
        httponly=True,
        samesite="strict",
    )


def cookie_name(request: Request, parts: Parts) -> str:
    """Over https by a name that no other host and no plain connection can set."""
    return _SECURE_NAME if is_secure(request, parts) else _OPEN_NAME


def is_secure(request: Request, parts: Parts) -> bool:
    """Whether the browser speaks https, perhaps to a proxy of which the settings tell."""
    public = urlsplit(parts.config.public_url)
    behind_proxy = public.scheme == "https" and request.headers.get("host", "") == public.netloc
    return request.url.scheme == "https" or behind_proxy


def inside(path: str) -> str:
    """A way on within this site; anything else leads to the overview."""
    is_path = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_path else "/"
