"""A message's mail, rendered again: byte for byte as it goes out."""

from __future__ import annotations

import asyncio

from api.dependencies import Parts
from postwerk.archive import reads
from postwerk.archive.blobs import sound, stored_files
from postwerk.contracts.content import MailIdentity
from postwerk.mime.composer import Composer


async def rendered_mail(parts: Parts, bulk_id: str, seq: int) -> bytes:
    """Raises NotFound, Conflict before the bulk send is queued, ContentError."""
    async with parts.archive.reading() as connection:
        sent, accepted_at, recipient = await reads.sent_content(connection, bulk_id, seq)
        files = await stored_files(connection, sent)
    identity, imprint = MailIdentity(bulk_id, accepted_at), await parts.imprint()
    return await asyncio.to_thread(lambda: Composer(sent, identity, imprint, sound(files)).compose(recipient))
