"""Links to unsubscribe: looking changes nothing, only a POST acts (RFC 8058). Nobody needs a key for them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api import unsubscribe_page
from api.dependencies import Parts, UseParts
from api.problem_schemas import problems
from postwerk.archive.intake import INTAKE_SHARD
from postwerk.archive.suppressions import settle_suppressed
from postwerk.archive.unsubscribing import SentTo, sent_to, unsubscribe, waiting_bulk_mail
from postwerk.rules.tokens import TokenOf

router = APIRouter(tags=["unsubscribing"])
_NOBODY = TokenOf("", 0)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such link", "content": {"text/html": {"schema": {"type": "string"}}}},
    **problems(503),
}


@router.get("/u/{token}", response_class=HTMLResponse, responses=_ANSWERS)
async def look(parts: UseParts, token: str) -> HTMLResponse:
    """A page with a button. Programs that follow every link in a mail unsubscribe nobody."""
    _, found = await _message(parts, token)
    return unsubscribe_page.unknown() if found is None else unsubscribe_page.asking(found.sender)


@router.head("/u/{token}", response_class=HTMLResponse, include_in_schema=False)
async def look_shortly(parts: UseParts, token: str) -> HTMLResponse:
    """The same without the page."""
    return await look(parts, token)


@router.post("/u/{token}", response_class=HTMLResponse, responses=_ANSWERS)
async def act(parts: UseParts, token: str) -> HTMLResponse:
    """Unsubscribe the recipient of this mail, whatever the body says; calling it again changes nothing.

    No bulk send goes to this address from now on, those under way included; transactional mail still does.
    """
    message, found = await _message(parts, token)
    if found is None:
        return unsubscribe_page.unknown()
    async with parts.archive.writing() as connection:
        await unsubscribe(connection, found.address, message, parts.now())
    await _stop_waiting(parts, found.address)
    return unsubscribe_page.done()


async def _message(parts: Parts, token: str) -> tuple[TokenOf, SentTo | None]:
    """The archive is asked in any case: how long it takes does not tell a forged link from an old one."""
    message = (await parts.tokens.get(parts.now())).read_unsubscribe(token) or _NOBODY
    async with parts.archive.reading() as connection:
        return message, await sent_to(connection, message)


async def _stop_waiting(parts: Parts, address: str) -> None:
    """What waits in running sends ends now; workers look the list up too, so nothing depends on this."""
    async with parts.archive.reading() as connection:
        waiting = await waiting_bulk_mail(connection, address)
    for bulk_id, seq in waiting:
        async with parts.archive.writing() as connection:
            await settle_suppressed(connection, bulk_id, [seq], parts.now(), INTAKE_SHARD)
