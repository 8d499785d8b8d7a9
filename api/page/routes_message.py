"""One message: what happened to it, the mail itself, and what can be done about it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.dependencies import Parts
from api.ids import message_id_of
from api.message_reading import message_in_full
from api.message_views import message_view
from api.operation_orders import check_reason
from api.page.answers import go_on, page
from api.page.following import follow
from api.page.forms import UseForm
from api.page.mail_reading import ShownMail, shown_mail
from api.page.message_story import story_of
from api.page.queue_deeds import DEEDS, Deed, told_of, useful_for
from api.page.rendering import render
from api.page.routes_events import kind_of
from api.page.visit import UseVisit, Visit
from api.queue_orders import VERBS, carry_out_on_one
from api.rendered import rendered_mail
from postwerk.archive import reads
from postwerk.archive.latest_events import LOOK, latest_events
from postwerk.archive.suppressions import Suppression, suppression
from postwerk.contracts.queue import Verb
from postwerk.errors import ContentError, InvalidRequest, NotFound, PostwerkError

router = APIRouter()
PARTS = ("state", "story")

Tab = Literal["html", "text", "headers", "raw", "variables", "events"]
MOST_EVENTS = 100
MOST_RAW = 500_000
"""Characters of the mail's source that are shown; all of it can be downloaded."""
_HTML_HEADERS = {
    # What a mail brings along is never of our origin, runs nothing and loads nothing.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "SAMEORIGIN",
}
_NAME = re.compile(r"[^A-Za-z0-9._-]")


@router.get("/messages/{message_id}")
async def message(visit: UseVisit, message_id: str, tab: Annotated[Tab | None, Query()] = None) -> Response:
    """Its state, its story, and its content as it was or will be sent."""
    bulk_id, seq = message_id_of(message_id)
    story = await told(visit.parts, bulk_id, seq)
    content = await _content(visit.parts, bulk_id, seq, tab)
    return page(visit, "message.html", **story, **content, acts=await _may_act(visit, bulk_id))


async def _content(parts: Parts, bulk_id: str, seq: int, tab: Tab | None) -> dict[str, Any]:
    """What the tab shows; a mail that cannot be made is told in it."""
    mail, wrong = await _mail(parts, bulk_id, seq)
    chosen = tab or ("html" if mail and mail.html is not None else "text")
    found = {"tab": chosen, "mail": mail, "wrong": wrong, "raw": "", "most": MOST_RAW}
    if mail and chosen == "raw":
        found["raw"] = await _source(parts, bulk_id, seq)
    return {**found, **await _events(parts, bulk_id, seq)} if chosen == "events" else found


async def _events(parts: Parts, bulk_id: str, seq: int) -> dict[str, Any]:
    """Its own among the latest of its bulk send."""
    async with parts.archive.reading() as connection:
        found = await latest_events(connection, limit=MOST_EVENTS, bulk_id=bulk_id, seq=seq)
    return {
        "rows": [(event, kind_of(event)) for event in found.events],
        "reached": found.reached,
        "look": LOOK,
    }


async def _may_act(visit: Visit, bulk_id: str) -> bool:
    """Whoever may operate; and who sent it."""
    caller = visit.caller
    if caller is None or visit.may("operate") or not (visit.may("send") and caller.owner):
        return visit.may("operate")
    async with visit.parts.archive.reading() as connection:
        return await reads.are_all_of(connection, caller.owner, [bulk_id])


@router.get("/live/messages/{message_id}", response_class=EventSourceResponse)
async def live(visit: UseVisit, message_id: str) -> AsyncIterator[ServerSentEvent]:
    """Its state and its story as they go on."""
    bulk_id, seq = message_id_of(message_id)
    parts = visit.parts

    async def draw() -> dict[str, str]:
        story = await told(parts, bulk_id, seq)
        return {
            f"message-{name}": render(f"parts/message_{name}.html", now=parts.now(), **story)
            for name in PARTS
        }

    async for event in follow(visit, ("message", bulk_id, seq), draw):
        yield event


async def told(parts: Parts, bulk_id: str, seq: int) -> dict[str, Any]:
    """What the page says of the message itself. Raises NotFound."""
    found, attempts = await message_in_full(parts, bulk_id, seq)
    view, listed = message_view(found), await _listed(parts, found.message.address)
    return {
        "row": view,
        "message": found.message,
        "send": found.send,
        "story": story_of(found, view, attempts, listed),
        "deeds": useful_for(found.message.state),
    }


async def _listed(parts: Parts, address: str) -> Suppression | None:
    async with parts.archive.reading() as connection:
        try:
            return await suppression(connection, address)
        except NotFound:
            return None


async def _mail(parts: Parts, bulk_id: str, seq: int) -> tuple[ShownMail | None, str]:
    """The mail, or why there is none to show."""
    try:
        raw = await rendered_mail(parts, bulk_id, seq)
    except (ContentError, PostwerkError) as error:
        return None, error.message
    return await asyncio.to_thread(shown_mail, raw), ""


async def _source(parts: Parts, bulk_id: str, seq: int) -> str:
    return (await rendered_mail(parts, bulk_id, seq))[:MOST_RAW].decode("utf-8", "replace")


@router.get("/messages/{message_id}/html")
async def html(visit: UseVisit, message_id: str) -> Response:
    """The mail's HTML by itself, in a sandbox. Only a frame of the page shows it."""
    mail, wrong = await _mail(visit.parts, *message_id_of(message_id))
    if mail is None or mail.html is None:
        raise NotFound(wrong or "This mail has no HTML.")
    return Response(mail.html, media_type="text/html; charset=utf-8", headers=_HTML_HEADERS)


@router.get("/messages/{message_id}/raw")
async def raw(visit: UseVisit, message_id: str) -> Response:
    """The mail byte for byte, to keep as a file."""
    mail = await rendered_mail(visit.parts, *message_id_of(message_id))
    name = _NAME.sub("_", message_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}.eml"'}
    return Response(mail, media_type="message/rfc822", headers=headers)


def _add_verb(verb: Verb) -> None:
    async def call(visit: UseVisit, form: UseForm, message_id: str) -> Response:
        bulk_id, seq = message_id_of(message_id)
        reason, deed = form.get("why"), DEEDS[verb]
        try:
            check_reason(reason, required=deed.needs_reason)
        except InvalidRequest as error:
            asked_before = "why" in dict(form.pairs)
            return await _ask(visit, bulk_id, seq, deed, error.message if asked_before else "")
        op = await carry_out_on_one(visit.parts, verb, bulk_id, seq, reason, visit.actor)
        done = told_of(op)
        return go_on(visit, f"/messages/{message_id}", done.text, done.kind, link=f"/operations/{op.id}")

    router.post(f"/messages/{{message_id}}/{verb}", name=f"{verb} on the page")(call)


for _verb in VERBS:
    _add_verb(_verb)


async def _ask(visit: Visit, bulk_id: str, seq: int, deed: Deed, wrong: str) -> Response:
    """The reason is asked for on a page of its own."""
    story = await told(visit.parts, bulk_id, seq)
    return page(visit, "message_confirm.html", status=422 if wrong else 200, deed=deed, wrong=wrong, **story)
