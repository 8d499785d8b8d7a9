"""A bulk send that is still open, as the page's draft."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from api.ids import bulk_id_of
from api.page.visit import UseVisit
from postwerk.archive import reads
from postwerk.archive.reads import BulkSend
from postwerk.contracts.states import BulkState
from postwerk.errors import PostwerkError


class NotADraft(PostwerkError):
    """This send is no draft any more."""

    def __init__(self, send: BulkSend) -> None:
        super().__init__(f"This send is {send.state}, and no draft any more.")
        self.bulk_id = send.id


async def draft_of(visit: UseVisit, bulk_id: str) -> BulkSend:
    """The draft of an address. Raises NotFound, NotADraft."""
    async with visit.parts.archive.reading() as connection:
        return check_draft(await reads.bulk_send(connection, bulk_id_of(bulk_id)))


def check_draft(send: BulkSend) -> BulkSend:
    """Raises NotADraft."""
    if send.state is not BulkState.OPEN:
        raise NotADraft(send)
    return send


UseDraft = Annotated[BulkSend, Depends(draft_of)]
