"""A send from the form, by the checks of the API: what will be stored, or all that is wrong with it."""

from __future__ import annotations

from typing import Any

from api.dependencies import Parts
from api.errors import InvalidFields
from api.page.send_fields import Wrong, field_at
from api.request_schemas import BulkSendRequest
from api.taking.content import resolve
from api.taking.request import new_bulk_send, read_request
from api.who import Caller
from postwerk.archive.intake import NewBulkSend
from postwerk.errors import Forbidden, InvalidRequest
from postwerk.rules.api_keys import check_from

_MOST_LOOKS = 15
_STAND_INS = {"from": "someone@example.com", "subject": "-", "text": "-"}
"""What a wrong field is taken for, to find out what else is wrong."""


async def checked(
    parts: Parts, caller: Caller, document: dict[str, Any], wrong: Wrong, bulk_id: str
) -> tuple[BulkSendRequest, NewBulkSend] | None:
    """None when something is wrong: it is then in `wrong`, besides what was there already."""
    good = not wrong
    for _ in range(_MOST_LOOKS):
        try:
            request = await resolve(parts, read_request(document))
            new = _new(parts, caller, request, bulk_id)
        except (InvalidRequest, Forbidden) as error:
            good = False
            if not _told(error, document, wrong):
                return None
        else:
            return (request, new) if good else None
    return None


def _new(parts: Parts, caller: Caller, request: BulkSendRequest, bulk_id: str) -> NewBulkSend:
    new = new_bulk_send(
        request,
        parts.config.retry,
        parts.config.relay_names,
        parts.now(),
        owner=caller.owner,
        bulk_id=bulk_id,
        public_url=parts.config.public_url,
    )
    check_from(caller.domains, new.content)
    return new


def _told(error: InvalidRequest | Forbidden, document: dict[str, Any], wrong: Wrong) -> bool:
    """Write it down and take the field out of the document; False when there is no field to take out."""
    entries = [{"pointer": error.pointer, "detail": error.message}]
    if isinstance(error, InvalidFields):
        entries = error.errors
    taken_out = False
    for entry in entries:
        wrong.setdefault(field_at(entry["pointer"]), entry["detail"])
        taken_out |= _take_out(document, entry["pointer"])
    return taken_out


def _take_out(document: dict[str, Any], pointer: str) -> bool:
    name = pointer.removeprefix("#").strip("/").partition("/")[0]
    if not name or document.get(name) == _STAND_INS.get(name, ...):
        return False
    was_there = document.pop(name, None) is not None
    if name == "html" and "text" not in document:
        document["text"] = _STAND_INS["text"]
    if name in _STAND_INS:
        document[name] = _STAND_INS[name]
    return was_there or name in _STAND_INS
