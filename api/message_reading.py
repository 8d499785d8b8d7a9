"""One message with all there is to tell of it."""

from __future__ import annotations

from api.dependencies import Parts
from api.waiting import MessageInContext, context_of, with_waits
from postwerk.archive import reads
from postwerk.archive.reads import Attempt


async def message_in_full(parts: Parts, bulk_id: str, seq: int) -> tuple[MessageInContext, list[Attempt]]:
    """As it stands, why it waits, and every attempt made for it. Raises NotFound."""
    async with parts.archive.reading() as connection:
        message = await reads.message(connection, bulk_id, seq)
        await reads.bulk_send(connection, bulk_id)
        attempts = await reads.attempts(connection, bulk_id, seq)
        context = await context_of(parts, connection, [message])
    [told] = await with_waits(parts, [message], context)
    return told, attempts
