"""A draft before it is sent: how it will look, a mail to try, and the last question."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from api.beginning import start_list
from api.claim import Claim
from api.errors import InProgress
from api.idempotency import Repeatable
from api.ids import bulk_id_of
from api.operation_schemas import StartOrder
from api.page.answers import go_on, page
from api.page.draft_preview import html_of, oddities, samples
from api.page.drafts import UseDraft
from api.page.forms import Form, UseForm
from api.page.list_taking import progress_of
from api.page.visit import UseVisit, Visit
from api.page.words import counted
from api.trial import make_test
from postwerk.archive import drafts, reads
from postwerk.archive.ids import new_bulk_id, new_id
from postwerk.archive.reads import BulkSend, MessageFilter
from postwerk.contracts.content import Content
from postwerk.contracts.states import BulkState
from postwerk.errors import Conflict, InvalidRequest
from postwerk.rules.sending_window import in_words

router = APIRouter()
_LONGEST_SEARCH = 320
_LONGEST_ONCE = 64
Seq = Annotated[int, Query(ge=0, le=10**15)]
Search = Annotated[str, Query(max_length=_LONGEST_SEARCH)]
_FRAMED = {
    # Nothing of a mail is carried out or loaded; it has an origin of its own.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}


@router.get("/sends/{bulk_id}/draft/preview")
async def show(visit: UseVisit, draft: UseDraft, after: Seq = 0, q: Search = "") -> Response:
    """Three mails as they would go out, and what looks odd."""
    return await _preview(visit, draft, after, q.replace("\x00", "").strip())


@router.get("/sends/{bulk_id}/draft/sample")
async def sample(visit: UseVisit, draft: UseDraft, seq: Seq) -> Response:
    """The html of one mail, for a frame."""
    html = await html_of(visit.parts, draft, await _content(visit, draft), seq)
    return HTMLResponse(html, headers=_FRAMED)


@router.post("/sends/{bulk_id}/draft/test")
async def test(visit: UseVisit, draft: UseDraft, form: UseForm) -> Response:
    """One real mail to somebody; the same form makes one, however often it comes."""
    to = form.get("to")
    if wrong := await _tested(visit, draft, form.get("once"), _test_order(form)):
        return await _preview(visit, draft, wrong=wrong, to=to)
    return go_on(visit, f"/sends/{draft.id}/draft/preview", f"A test mail is on its way to {to}.")


def _test_order(form: Form) -> dict[str, Any]:
    seq = form.get("as")
    shown = {"as": int(seq)} if re.fullmatch("[1-9][0-9]{0,14}", seq, re.ASCII) else {}
    return {"to": form.get("to"), **shown}


async def _tested(visit: Visit, draft: BulkSend, once: str, order: dict[str, Any]) -> str:
    """Why there is no test mail; empty when there is one."""

    async def make(claim: Claim) -> Response:
        return await make_test(visit.request, visit.parts, draft.id, order, visit.actor, claim)

    body = orjson.dumps(order)
    key = f"page test {once[:_LONGEST_ONCE]} {hashlib.sha256(body).hexdigest()}"
    try:
        answer = await Repeatable(visit.request, visit.parts, key).once(body, new_bulk_id, make)
    except InProgress:
        return ""  # a second click: the first one is at it
    return "" if answer.status_code < 400 else str(orjson.loads(bytes(answer.body))["detail"])


@router.get("/sends/{bulk_id}/draft/start")
async def ask(visit: UseVisit, draft: UseDraft) -> Response:
    """The last question, with what it means."""
    return await _last_page(visit, draft)


@router.post("/sends/{bulk_id}/draft/start")
async def start(visit: UseVisit, form: UseForm, bulk_id: str) -> Response:
    """Start it, once: whoever comes second is led to the send."""
    bulk_id = bulk_id_of(bulk_id)
    async with visit.parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
    if send.state is BulkState.OPEN:
        if form.get("seen") != _seen(send, await _content(visit, send)):
            return await _last_page(visit, send, "The draft has changed since you looked; look once more.")
        try:
            await _start(visit, send)
        except (InvalidRequest, Conflict) as error:
            return await _last_page(visit, send, error.message)
    return go_on(visit, f"/sends/{bulk_id}", f"{counted(send.accepted, 'recipient')}: it is started.")


async def _start(visit: Visit, draft: BulkSend) -> None:
    """Raises Conflict, InvalidRequest."""
    async with visit.parts.archive.reading() as connection:
        lists = await drafts.draft_lists(connection, draft.id)
    for one in lists:
        progress = await progress_of(visit.parts, one)
        if progress is not None and progress.is_running:
            raise Conflict(f"{one.name} is still being taken in; wait for its end.")
    await start_list(visit.parts, draft.id, StartOrder(), visit.actor)


async def _preview(
    visit: Visit,
    draft: BulkSend,
    after: int = 0,
    q: str = "",
    *,
    wrong: str = "",
    to: str = "",
) -> Response:
    parts, content = visit.parts, await _content(visit, draft)
    found = await samples(parts, draft, content, MessageFilter(q=q or None), after)
    return page(
        visit,
        "draft_preview.html",
        status=422 if wrong else 200,
        draft=draft,
        content=content,
        samples=found,
        odd=await oddities(parts, draft, content),
        after=after,
        q=q,
        wrong=wrong,
        to=to,
        once=new_id("once"),
    )


async def _last_page(visit: Visit, draft: BulkSend, wrong: str = "") -> Response:
    content = await _content(visit, draft)
    async with visit.parts.archive.reading() as connection:
        lists = await drafts.draft_lists(connection, draft.id)
    odd = await oddities(visit.parts, draft, content)
    return page(
        visit,
        "draft_start.html",
        status=409 if wrong else 200,
        draft=draft,
        content=content,
        odd=odd,
        mails=draft.accepted - (odd.suppressed or 0),
        window=in_words(draft.options.window) if draft.options.window else "",
        waiting=[one for one in lists if one.state == drafts.HERE],
        seen=_seen(draft, content),
        wrong=wrong,
    )


def _seen(draft: BulkSend, content: Content) -> str:
    """What somebody has looked at before saying yes."""
    shown = (draft.name, draft.accepted, draft.options.model_dump_json(), content.model_dump_json())
    return hashlib.sha256(repr(shown).encode("utf-8", "surrogateescape")).hexdigest()


async def _content(visit: Visit, draft: BulkSend) -> Content:
    async with visit.parts.archive.reading() as connection:
        return await reads.content_of(connection, draft.id)
