"""The suppression list: look, search, add and take off."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from api.ids import entry_cursor, entry_cursor_text, listed_address_of
from api.page.answers import go_on, page
from api.page.forms import UseForm
from api.page.visit import UseVisit, Visit
from api.parameters import clean_text
from api.suppressing import take_off_list
from api.suppression_schemas import REASON
from api.taking.suppressing import ListingDeed, store_entries
from api.taking.suppression_rows import new_suppression
from postwerk.archive import suppressions
from postwerk.archive.suppressions import SuppressionFilter
from postwerk.errors import InvalidRequest

router = APIRouter()

PER_PAGE = 50
_REASON = re.compile(REASON, re.ASCII)


@router.get("/suppressions")
async def list_entries(
    visit: UseVisit,
    q: Annotated[str, Query(max_length=254)] = "",
    reason: Annotated[str, Query(max_length=40)] = "",
    after: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """The newest first."""
    return await _list(visit, q.strip(), reason.strip(), after)


async def _list(
    visit: Visit, q: str = "", reason: str = "", after: str | None = None, *, typed: str = "", wrong: str = ""
) -> Response:
    """`typed` and `wrong`: what was to be added, and why it was not."""
    wanted = SuppressionFilter(q=clean_text(q or None, "?q"), reason=clean_text(reason or None, "?reason"))
    async with visit.parts.archive.reading() as connection:
        found = await suppressions.suppressions(
            connection, wanted, limit=PER_PAGE + 1, after=entry_cursor(after)
        )
    further = entry_cursor_text(found[PER_PAGE - 1]) if len(found) > PER_PAGE else ""
    query = {name: value for name, value in (("q", q), ("reason", reason), ("after", further)) if value}
    return page(
        visit,
        "suppressions.html",
        status=422 if wrong else 200,
        rows=found[:PER_PAGE],
        more=urlencode(query) if further else "",
        after=after,
        q=q,
        reason=reason,
        typed=typed,
        wrong=wrong,
    )


@router.post("/suppressions")
async def add(visit: UseVisit, form: UseForm) -> Response:
    """One address gets no mail from now on."""
    typed, reason = form.get("address"), form.get("reason") or "manual"
    try:
        if not _REASON.fullmatch(reason):
            raise InvalidRequest("The reason is a word such as manual or unsubscribe.", pointer="#/reason")
        entry = new_suppression(typed, reason, form.get("detail"))
    except InvalidRequest as error:
        return await _list(visit, typed=typed, wrong=error.message)
    deed = ListingDeed(visit.actor, target=entry.address.lower(), reason=entry.reason)
    listed = await store_entries(visit.parts.archive, [entry], deed=deed, now=visit.parts.now)
    if listed.added:
        return go_on(visit, "/suppressions", f"{entry.address} gets no mail any more.")
    return go_on(visit, "/suppressions", f"{entry.address} was on the list already.", "warn")


@router.post("/suppressions/remove")
async def remove(visit: UseVisit, form: UseForm) -> Response:
    """Take an address off the list. What was suppressed stays so."""
    address = listed_address_of(form.get("address"))
    await take_off_list(visit.parts, address, visit.actor)
    return go_on(visit, "/suppressions", f"{address} is off the list: later sends go to it again.")
