"""The suppression list: addresses that get no mail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from api.access import demand
from api.dependencies import Parts, UseParts
from api.errors import UnsupportedType
from api.ids import entry_cursor, entry_cursor_text, listed_address_of
from api.parameters import clean_text, only_parameters
from api.problem_schemas import problems
from api.suppressing import take_off_list
from api.suppression_schemas import (
    REASON,
    SuppressionList,
    SuppressionRequest,
    SuppressionsTaken,
    SuppressionView,
)
from api.taking.body import body_pieces, media_type, whole_body
from api.taking.json_body import read_json
from api.taking.request import read_fields
from api.taking.suppressing import Listed, ListingDeed, store_entries, store_list
from api.taking.suppression_rows import SuppressionCsv, new_suppression, read_entries
from api.views import suppression_view, suppressions_taken
from api.who import By
from postwerk.archive import suppressions
from postwerk.archive.audit import Actor
from postwerk.archive.suppressions import SuppressionFilter
from postwerk.contracts.keys import Scope
from postwerk.contracts.states import SuppressionScope
from postwerk.errors import InvalidRequest

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"])

MOST_ENTRIES = 10_000
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/SuppressionRequest"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}


@router.get("", response_model=SuppressionList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    reason: Annotated[str | None, Query(pattern=REASON)] = None,
    scope: SuppressionScope | None = None,
    source: Literal["reply", "dsn", "recipient", "complaint", "api", "import"] | None = None,
    q: Annotated[str | None, Query(max_length=254, description="part of the address")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=1000)] = None,
) -> SuppressionList:
    """The entries, newest first."""
    only_parameters(request, "reason", "scope", "source", "q", "limit", "after")
    wanted = SuppressionFilter(reason=reason, scope=scope, source=source, q=clean_text(q, "?q"))
    async with parts.archive.reading() as connection:
        found = await suppressions.suppressions(
            connection, wanted, limit=limit + 1, after=entry_cursor(after)
        )
    page, has_more = found[:limit], len(found) > limit
    return SuppressionList(
        has_more=has_more,
        next=entry_cursor_text(page[-1]) if has_more else None,
        data=[suppression_view(entry) for entry in page],
    )


@router.post(
    "",
    response_model=SuppressionsTaken,
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=_BODY,
)
async def add(request: Request, parts: UseParts, actor: By) -> SuppressionsTaken:
    """List addresses: they get no mail from now on, in sends under way too.

    With the reason `unsubscribe` they get no bulk sends, but still single messages; with any other reason
    nothing at all. The broader of two entries stays.

    `application/json`: one `address`, or up to 10,000 `addresses`, each a text or an object with its own
    `reason` and `detail`. A single address that cannot be taken is a 422; of a list it is named in `errors`
    and the rest is taken. An address that is listed already stays as it is and counts as `known`.

    `text/csv`: a list of any length, with a header row: the column `address` (or `email`, `to`), and if you
    like `reason` and `detail`; delimiters and encodings as for recipients. When the list breaks off (no valid
    CSV any more, larger than allowed, connection lost), the rows before that stay: the problem document
    says how many (`added`, `known`, `rejected`) and where it stopped (`stopped_at_row`). Sending the whole
    list again is harmless.
    """
    only_parameters(request)
    kind, charset = media_type(request)
    if kind == "application/json":
        return suppressions_taken(await _add_json(request, parts, actor))
    if kind != "text/csv":
        raise UnsupportedType("Send application/json or text/csv.")
    demand(request, Scope.ADMIN)  # a whole list may silence everybody
    pieces = body_pieces(request, parts.config.max_part_bytes)
    listed = await store_list(parts.archive, SuppressionCsv(charset), pieces, actor=actor, now=parts.now)
    return suppressions_taken(listed)


async def _add_json(request: Request, parts: Parts, actor: Actor) -> Listed:
    document, entries = read_json(await whole_body(request, parts.config.max_body_bytes), "addresses")
    wanted = read_fields(SuppressionRequest, document)
    if wanted.address is not None and entries:
        raise InvalidRequest(
            "Give either one address or a list of addresses.", pointer="#/addresses", code="both_given"
        )
    if wanted.address is not None:
        single = new_suppression(wanted.address, wanted.reason, wanted.detail)
        deed = ListingDeed(actor, target=single.address.lower(), reason=single.reason)
        return await store_entries(parts.archive, [single], deed=deed, now=parts.now)
    if not entries:
        raise InvalidRequest("There is no address.", pointer="#/address", code="missing")
    if len(entries) > MOST_ENTRIES:
        raise InvalidRequest(
            f"At most {MOST_ENTRIES:,} addresses at a time; send longer lists as text/csv.",
            pointer="#/addresses",
            code="too_many",
        )
    deed = ListingDeed(actor, reason=wanted.reason)
    return await store_entries(parts.archive, read_entries(entries, wanted), deed=deed, now=parts.now)


@router.get("/{address:path}", response_model=SuppressionView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, address: str) -> SuppressionView:
    """One entry: why this address gets no mail, and who said so."""
    only_parameters(request)
    async with parts.archive.reading() as connection:
        return suppression_view(await suppressions.suppression(connection, listed_address_of(address)))


@router.delete("/{address:path}", status_code=204, responses=problems(404, 422, 503))
async def remove(request: Request, parts: UseParts, actor: By, address: str) -> None:
    """Take an address off the list. Later sends go to it again; what was suppressed stays suppressed."""
    only_parameters(request)
    await take_off_list(parts, listed_address_of(address), actor)
