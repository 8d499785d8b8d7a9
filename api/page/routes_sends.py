"""One bulk send, and what may be done to it. What cannot be undone is asked about first."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.ids import bulk_id_of
from api.page import send_orders
from api.page.answers import go_on, page
from api.page.following import follow
from api.page.forms import UseForm
from api.page.overview import cards
from api.page.rendering import render
from api.page.send_cards import SendCard
from api.page.send_details import SendDetails, send_details
from api.page.viewer import Anybody
from api.page.visit import UseVisit, Visit, inside
from api.page.words import counted
from api.views import base_url
from postwerk.archive import reads
from postwerk.contracts.queue import OperationState

router = APIRouter()


@router.get("/sends/{bulk_id}")
async def show(visit: UseVisit, bulk_id: str) -> Response:
    """Everything about one bulk send."""
    found = await send_details(visit.parts, bulk_id_of(bulk_id))
    base = base_url(visit.request, visit.parts)
    return page(visit, "send.html", seen=found, base=base, live=f"/live/sends/{found.card.id}")


@router.get("/live/sends/{bulk_id}", response_class=EventSourceResponse)
async def live(visit: UseVisit, bulk_id: str) -> AsyncIterator[ServerSentEvent]:
    """Its parts as they change."""
    bulk_id, base = bulk_id_of(bulk_id), base_url(visit.request, visit.parts)
    anybody = Anybody(visit.scopes)

    async def draw() -> dict[str, str]:
        found = await send_details(visit.parts, bulk_id)
        return {"part-send": _rendered(found, base, anybody)}

    async for event in follow(visit, ("send", bulk_id, base, anybody.scopes), draw):
        yield event


def _rendered(found: SendDetails, base: str, viewer: Anybody) -> str:
    return render("parts/send.html", seen=found, now=found.now, base=base, viewer=viewer)


@router.post("/sends/{bulk_id}/pause")
async def pause(visit: UseVisit, form: UseForm, bulk_id: str) -> Response:
    bulk_id = bulk_id_of(bulk_id)
    await send_orders.pause(visit.parts, bulk_id, form.get("reason"), visit.actor)
    return go_on(visit, _back(form.get("back"), bulk_id), f"Paused: {await _name(visit, bulk_id)}.")


@router.post("/sends/{bulk_id}/resume")
async def resume(visit: UseVisit, form: UseForm, bulk_id: str) -> Response:
    bulk_id = bulk_id_of(bulk_id)
    await send_orders.resume(visit.parts, bulk_id, visit.actor)
    return go_on(visit, _back(form.get("back"), bulk_id), f"Resumed: {await _name(visit, bulk_id)}.")


@router.get("/sends/{bulk_id}/cancel")
async def ask_to_cancel(visit: UseVisit, bulk_id: str) -> Response:
    """What would happen."""
    return page(visit, "cancel.html", card=await _card(visit, bulk_id))


@router.post("/sends/{bulk_id}/cancel")
async def cancel(visit: UseVisit, form: UseForm, bulk_id: str) -> Response:
    bulk_id = bulk_id_of(bulk_id)
    await send_orders.cancel(visit.parts, bulk_id, form.get("reason"), visit.actor)
    words = f"Cancelled: {await _name(visit, bulk_id)}. What is at its last step ends as it will."
    return go_on(visit, f"/sends/{bulk_id}", words)


@router.get("/sends/{bulk_id}/rate")
async def ask_for_rate(visit: UseVisit, bulk_id: str) -> Response:
    return page(visit, "rate.html", card=await _card(visit, bulk_id))


@router.post("/sends/{bulk_id}/rate")
async def set_rate(visit: UseVisit, form: UseForm, bulk_id: str) -> Response:
    bulk_id, rate = bulk_id_of(bulk_id), form.get("rate")
    await send_orders.set_rate(visit.parts, bulk_id, rate, visit.actor)
    words = f"At most {rate} from now on." if rate else "As fast as it goes from now on."
    return go_on(visit, f"/sends/{bulk_id}", words)


@router.get("/sends/{bulk_id}/retry-failed")
async def ask_to_retry(visit: UseVisit, bulk_id: str) -> Response:
    """How many it would be."""
    card = await _card(visit, bulk_id)
    return page(visit, "retry_failed.html", card=card, n=await send_orders.count_failed(visit.parts, card.id))


@router.post("/sends/{bulk_id}/retry-failed")
async def retry_failed(visit: UseVisit, form: UseForm, bulk_id: str) -> Response:
    bulk_id = bulk_id_of(bulk_id)
    op = await send_orders.retry_failed(visit.parts, bulk_id, form.get("reason"), visit.actor)
    n = op.matched if op.state is OperationState.RUNNING else op.changed
    return go_on(visit, f"/sends/{bulk_id}", f"{counted(n or 0, 'message')} will be tried again.")


async def _card(visit: Visit, bulk_id: str) -> SendCard:
    """Raises NotFound."""
    async with visit.parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id_of(bulk_id))
    [card] = await cards(visit.parts, [send])
    return card


async def _name(visit: Visit, bulk_id: str) -> str:
    async with visit.parts.archive.reading() as connection:
        return (await reads.bulk_send(connection, bulk_id)).name or bulk_id


def _back(given: str, bulk_id: str) -> str:
    return inside(given) if given else f"/sends/{bulk_id}"
