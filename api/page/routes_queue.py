"""The queue: what waits and why, found by the API's own criteria, and what is done about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.dependencies import Parts
from api.operation_orders import check_reason
from api.page.answers import go_on, page
from api.page.following import follow
from api.page.forms import Form, UseForm
from api.page.queue_deeds import DEEDS, Deed, means_of, told_of
from api.page.queue_list import shown
from api.page.queue_search import Search, search_of, understood
from api.page.rendering import render
from api.page.visit import UseVisit, Visit
from api.queue_filters import read_filter
from api.queue_orders import VERBS, carry_out, dry_run
from postwerk.contracts.keys import Scope
from postwerk.contracts.queue import OperationState, QueueFilter
from postwerk.contracts.states import FINAL_STATES, OPEN_STATES, MessageState
from postwerk.errors import InvalidRequest

router = APIRouter()
PARTS = ("states", "total", "rows")

_OPEN = [state for state in MessageState if state in OPEN_STATES]
_FINAL = [state for state in MessageState if state in FINAL_STATES]


@router.get("/queue")
async def queue(
    visit: UseVisit, request: Request, after: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """The messages that wait; or, by a final state, those that have ended."""
    search = search_of(request.query_params.multi_items())
    if better := understood(search):
        return go_on(visit, better.address())
    given = await _given(visit.parts, search, after, visit.scopes)
    return page(
        visit,
        "queue.html",
        status=422 if search.wrong else 200,
        **given,
        after=after,
        deeds=list(DEEDS.values()),
        final_states=_FINAL,
        live=f"/live/queue?{request.url.query}",
    )


@router.get("/live/queue", response_class=EventSourceResponse)
async def live(
    visit: UseVisit, request: Request, after: Annotated[str | None, Query(max_length=100)] = None
) -> AsyncIterator[ServerSentEvent]:
    """The same as it changes. What is ticked stays ticked."""
    parts, search, scopes = visit.parts, search_of(request.query_params.multi_items()), visit.scopes

    async def draw() -> dict[str, str]:
        given = await _given(parts, search, after, scopes)
        return {f"queue-{name}": render(f"parts/queue_{name}.html", **given) for name in PARTS}

    async for event in follow(visit, ("queue", *search.pairs, after, scopes), draw):
        yield event


async def _given(parts: Parts, search: Search, after: str | None, scopes: frozenset[Scope]) -> dict[str, Any]:
    """What its templates show. Raises InvalidRequest for a wrong cursor."""
    return {
        "search": search,
        "found": await shown(parts, search, after),
        "acts": Scope.OPERATE in scopes and not search.ended and not search.wrong,
        "open_states": _OPEN,
        "now": parts.now(),
    }


@router.post("/queue/confirm")
async def confirm(visit: UseVisit, form: UseForm) -> Response:
    """How many it would be, before anything is done."""
    if form.get("everything") or form.all("tick"):
        return await _ask(visit, form)
    back = search_of(form.pairs).address()
    return go_on(visit, back, "Tick the messages that are meant, or all that match.", "warn")


@router.post("/queue/do")
async def do(visit: UseVisit, form: UseForm) -> Response:
    """It is done by the same orders as by the API, and stands in the audit trail."""
    deed, wanted, reason = _deed(form), _wanted(form), form.get("why")
    try:
        check_reason(reason, required=deed.needs_reason)
    except InvalidRequest as error:
        return await _ask(visit, form, error.message)
    op = await carry_out(visit.parts, deed.verb, wanted, reason, visit.actor)
    told = told_of(op)
    where = f"/operations/{op.id}"
    back = where if op.state is OperationState.RUNNING else _search(form).address()
    return go_on(visit, back, told.text, told.kind, link=where)


async def _ask(visit: Visit, form: Form, wrong: str = "") -> Response:
    deed, wanted = _deed(form), _wanted(form)
    meant = await dry_run(visit.parts, deed.verb, wanted)
    return page(
        visit,
        "queue_confirm.html",
        status=422 if wrong else 200,
        deed=deed,
        meant=meant,
        means=means_of(deed, wanted),
        fields=[(name, value) for name, value in form.pairs if name not in ("token", "why")],
        search=_search(form),
        everything=bool(form.get("everything")),
        whole_sends=wanted.names_sends_only and bool(deed.to_sends),
        reason=form.get("why"),
        wrong=wrong,
    )


def _deed(form: Form) -> Deed:
    verb = form.get("verb")
    if verb not in VERBS:
        raise InvalidRequest("Say what is to be done.", pointer="#/verb", code="invalid_verb")
    return DEEDS[next(one for one in VERBS if one == verb)]


def _search(form: Form) -> Search:
    return search_of(form.pairs)


def _wanted(form: Form) -> QueueFilter:
    """All that match, or the ticked ones. Raises InvalidFields."""
    if not form.get("everything"):
        return read_filter({"ids": form.all("tick")}, may_be_empty=False, pointer="#")
    search = _search(form)
    if search.ended:
        raise InvalidRequest("What has ended stays as it is.", pointer="#/state", code="invalid_state")
    if search.wrong:
        name, words = next(iter(search.wrong.items()))
        raise InvalidRequest(words, pointer=f"#/{name}", code="invalid")
    return QueueFilter(all=True) if search.wanted.is_empty else search.wanted
