"""The guard of every address of the page: who comes, whether they may, and whether a form is ours.

A session opens the page alone: the API's own calls know nothing of cookies, so no foreign page can make
a browser call them.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from fastapi import Request

from api.access import check
from api.dependencies import UseParts
from api.gate import caller_on_this_machine
from api.page import tokens
from api.page.access import FORGOTTEN, need_of
from api.page.forms import Form, as_form
from api.page.multipart import MULTIPART, MultipartForm
from api.page.visit import Visit, begin_visit
from api.taking.body import media_type, whole_body
from api.who import Caller
from postwerk.errors import Forbidden, PostwerkError, QuotaExceeded

MOST_BYTES = 4 * 1024 * 1024
"""Of a form without files."""
_URLENCODED = "application/x-www-form-urlencoded"
_LONGEST_TOKEN = 200
_STALE = "This form is out of date: load the page again, and send it once more."


class NotLoggedIn(PostwerkError):
    """Log in with an API key first."""

    def __init__(self, back_to: str) -> None:
        """`back_to`: where to go on after that."""
        super().__init__()
        self.back_to = back_to

    @property
    def login(self) -> str:
        return f"/login?next={quote(self.back_to, safe='/')}" if self.back_to != "/" else "/login"


class FromElsewhere(PostwerkError):
    """Somebody followed a link on another site: the browser has kept its cookie back."""

    def __init__(self, here: str) -> None:
        super().__init__()
        self.here = here


async def guard(request: Request, parts: UseParts) -> None:
    """For every route.

    Raises FromElsewhere, NotLoggedIn, MissingScope, NotFound for what is not its own, Forbidden.
    """
    visit = request.state.visit = begin_visit(request, parts)
    if visit.is_new and request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        raise FromElsewhere(_here(request))  # with a new cookie a session that there may be would be lost
    need = need_of(request.method, request.scope["route"].path) or FORGOTTEN
    await _find_caller(visit)
    _count_call(visit)
    if not need.public:
        if visit.caller is None:
            raise NotLoggedIn(_here(request))
        await check(request, parts.archive, need)
    if request.method == "POST":
        await _check_form(visit)


async def _find_caller(visit: Visit) -> None:
    """By the session; without one, whoever is let in on this machine itself."""
    parts, request = visit.parts, visit.request
    key = None if visit.is_new else await parts.sessions.key_of(visit.cookie, parts.now())
    visit.has_session = key is not None
    visit.caller = Caller.with_key(key) if key else await caller_on_this_machine(request.scope, parts)
    request.scope.setdefault("state", {})["caller"] = visit.caller or Caller(scopes=frozenset())


def _count_call(visit: Visit) -> None:
    """Raises QuotaExceeded: as many as of the API, also while somebody tries keys at the login."""
    client = visit.request.client
    owner = visit.caller.owner if visit.caller else ""
    call = visit.parts.calls.take(owner or f"peer {client.host if client else ''}")
    if call is not None and call.wait:
        raise QuotaExceeded(f"These are too many calls; come again in {call.wait} s.", retry_after=call.wait)


def _here(request: Request) -> str:
    """Where a GET wanted to go."""
    if request.method != "GET":
        return "/"
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


async def _check_form(visit: Visit) -> None:
    """Raises Forbidden for a form that is not ours, or was not made for this browser."""
    request = visit.request
    if not _is_same_origin(request, visit.parts.config.public_url):
        raise Forbidden("This form came from another site; nothing was done.", code="foreign_form")
    token = await _first_part(visit) if media_type(request)[0] == MULTIPART else await _in_form(request)
    if visit.is_new or not tokens.fits(visit.cookie, token):
        raise Forbidden(_STALE, code="stale_form")


def _is_same_origin(request: Request, public_url: str) -> bool:
    """By what the browser itself says of where the form stood. Something that says nothing is no browser."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    own = {request.headers.get("host", ""), urlsplit(public_url).netloc} - {""}
    return urlsplit(origin).netloc in own


async def _in_form(request: Request) -> str:
    """The token of a form without files, whose fields are read here."""
    if media_type(request)[0] != _URLENCODED:
        request.state.form = Form(())
        return ""
    request.state.form = form = as_form(await whole_body(request, MOST_BYTES))
    return form.get(tokens.FIELD)


async def _first_part(visit: Visit) -> str:
    """That of a form with files is its first part: before it is known, nothing else of the form is read."""
    form = MultipartForm(visit.request, visit.parts.config.max_part_bytes)
    visit.request.state.form = form
    first = await form.next_part()
    return await first.text(_LONGEST_TOKEN) if first is not None and first.name == tokens.FIELD else ""
