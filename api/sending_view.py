"""A bulk send as a call answers it: as the archive has it now, with what it waits for."""

from __future__ import annotations

from fastapi import Request

from api.dependencies import Parts
from api.schemas import BulkSendView
from api.views import bulk_send_view
from api.waiting import waits_of_sends
from postwerk.archive import reads


async def view_of(request: Request, parts: Parts, bulk_id: str) -> BulkSendView:
    """Raises NotFound."""
    async with parts.archive.reading() as connection:
        send = await reads.bulk_send(connection, bulk_id)
    [waits_for] = await waits_of_sends(parts, [send])
    return bulk_send_view(request, parts, send, waits_for)
