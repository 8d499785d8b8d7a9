"""The overview at `/`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.page.answers import page
from api.page.visit import UseVisit

router = APIRouter()


@router.get("/")
async def overview(visit: UseVisit) -> Response:
    """How everything does, on one page."""
    return page(visit, "overview.html")
