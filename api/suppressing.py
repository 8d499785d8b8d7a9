"""Taking an address off the suppression list, whichever door the order comes through."""

from __future__ import annotations

from api.dependencies import Parts
from postwerk.archive import suppressions
from postwerk.archive.audit import Actor, write_audit
from postwerk.errors import NotFound


async def take_off_list(parts: Parts, address: str, actor: Actor) -> None:
    """What was suppressed stays suppressed. Raises NotFound."""
    async with parts.archive.writing() as connection:
        if not await suppressions.remove_suppression(connection, address):
            raise NotFound("This address is not on the suppression list.")
        await write_audit(
            connection, actor, "suppression.remove", at=parts.now(), target=address.lower(), count=1
        )
