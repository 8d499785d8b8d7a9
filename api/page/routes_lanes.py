"""Orders for lanes from the overview."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.page import send_orders
from api.page.answers import go_on
from api.page.forms import UseForm
from api.page.visit import UseVisit

router = APIRouter()


@router.post("/lanes/suspend")
async def suspend(visit: UseVisit, form: UseForm) -> Response:
    """For half an hour."""
    lane = form.get("lane")
    until = await send_orders.suspend_lane(visit.parts, lane, visit.actor)
    return go_on(visit, "/", f"Nothing goes to {lane} until {until:%H:%M} UTC.")


@router.post("/lanes/resume")
async def resume(visit: UseVisit, form: UseForm) -> Response:
    """End its suspensions and its rest."""
    lane = form.get("lane")
    await send_orders.resume_lane(visit.parts, lane, form.get("relay"), visit.actor)
    return go_on(visit, "/", f"Mail goes to {lane} again.")
