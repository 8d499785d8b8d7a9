"""Recipients in streamed parts, for an open bulk send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response

from api.claim import Claim
from api.dependencies import Parts, UseParts
from api.idempotency import MayRepeat
from api.ids import bulk_id_of
from api.making import json_response
from api.problem_schemas import problems
from api.schemas import PartTaken
from api.taking.body import body_pieces, media_type
from api.taking.parts import reader_for, store_part
from api.views import part_taken
from postwerk.archive import reads
from postwerk.contracts.states import BulkState
from postwerk.errors import Conflict

router = APIRouter(prefix="/v1/bulk-sends", tags=["bulk sends"])
_TEXT = {"schema": {"type": "string"}}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/x-ndjson": _TEXT, "text/csv": _TEXT}}
}


@router.post(
    "/{bulk_id}/recipients",
    response_model=PartTaken,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=_BODY,
)
async def add(request: Request, parts: UseParts, repeatable: MayRepeat, bulk_id: str) -> Response:
    """Add recipients to an open bulk send, any number of parts of any length.

    `application/x-ndjson`: one object per line, as in `recipients`. `text/csv`: with a header row; the column
    `to`, `email` or `address` is the address, `name` the name, all others become variables under their name;
    comma, semicolon or tab; UTF-8, UTF-16 with BOM, a declared charset, or Windows-1252.

    A row that cannot be taken is listed in `errors` and the rest is taken. When the part itself breaks off
    (no valid CSV any more, larger than allowed, connection lost), the rows before that stay: the problem
    document says how many (`accepted`, `rejected`, `duplicates`) and where it stopped (`stopped_at_row`).
    Sending the whole part again is harmless, who is there already counts as a duplicate; with the same
    `Idempotency-Key` the answer is that of the first time, and what broke off goes on where it stopped.
    """
    bulk_id = bulk_id_of(bulk_id)
    reader = reader_for(*media_type(request))

    async def make(claim: Claim, pieces: AsyncIterator[bytes]) -> Response:
        await _check_open(parts, bulk_id)
        tally = await store_part(parts.archive, bulk_id, reader, pieces, claim)
        async with parts.archive.reading() as connection:
            send = await reads.bulk_send(connection, bulk_id)
        return json_response(part_taken(bulk_id, tally, send.accepted), 200)

    return await repeatable.once_streamed(body_pieces(request, parts.config.max_part_bytes), make)


async def _check_open(parts: Parts, bulk_id: str) -> None:
    async with parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
    if send.state is not BulkState.OPEN:
        raise Conflict(f"This bulk send is {send.state}; it takes no more recipients.")
