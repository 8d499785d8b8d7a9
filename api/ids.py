"""Public ids out of paths and cursors; what cannot be an id is never asked of a database."""

from __future__ import annotations

import base64
import re

from postwerk.archive.columns import from_microseconds, to_microseconds
from postwerk.archive.queue_reads import Position
from postwerk.archive.suppressions import EntryCursor, Suppression
from postwerk.errors import InvalidRequest, NotFound
from postwerk.rules.addresses import parse_address

_NUMBER = r"[0-9a-hjkmnp-tv-z]{26}"
_BULK = rf"bulk_{_NUMBER}"
_BULK_ID = re.compile(_BULK, re.ASCII)
_OPERATION_ID = re.compile(rf"op_{_NUMBER}", re.ASCII)
_SCHEDULE_ID = re.compile(rf"sch_{_NUMBER}", re.ASCII)
_SUSPENSION_ID = re.compile(f"sus_{_NUMBER}", re.ASCII)
_INBOUND_ID = re.compile(f"inb_{_NUMBER}", re.ASCII)
_API_KEY_ID = re.compile(f"key_{_NUMBER}", re.ASCII)
_WEBHOOK_ID = re.compile(f"wh_{_NUMBER}", re.ASCII)
_LIST_ID = re.compile(f"list_{_NUMBER}", re.ASCII)
_ENTRY_CURSOR = re.compile(r"([0-9]{1,16}) (\S+@\S+)")
_MESSAGE_ID = re.compile(rf"({_BULK})\.([1-9][0-9]{{0,17}})", re.ASCII)


def suspension_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not _SUSPENSION_ID.fullmatch(text):
        raise NotFound("There is no suspension with this id.")
    return text


def schedule_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not _SCHEDULE_ID.fullmatch(text):
        raise NotFound("There is no schedule with this id.")
    return text


def api_key_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not _API_KEY_ID.fullmatch(text):
        raise NotFound("There is no API key with this id.")
    return text


def webhook_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not _WEBHOOK_ID.fullmatch(text):
        raise NotFound("There is no webhook with this id.")
    return text


def id_cursor(text: str | None, kind: str) -> str | None:
    """A cursor that is an id, such as `aud_...`. Raises InvalidRequest."""
    if text is not None and not re.fullmatch(f"{kind}_{_NUMBER}", text, re.ASCII):
        raise _no_cursor()
    return text


def is_list_id(text: str) -> bool:
    """Of a list that was uploaded at the page."""
    return _LIST_ID.fullmatch(text) is not None


def is_bulk_id(text: str) -> bool:
    return _BULK_ID.fullmatch(text) is not None


def is_message_id(text: str) -> bool:
    """`<bulk id>.<seq>`."""
    return _MESSAGE_ID.fullmatch(text) is not None


def operation_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not _OPERATION_ID.fullmatch(text):
        raise NotFound("There is no operation with this id.")
    return text


def bulk_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not is_bulk_id(text):
        raise NotFound("There is no bulk send with this id.")
    return text


def message_id_of(text: str) -> tuple[str, int]:
    """Bulk id and seq of `<bulk id>.<seq>`. Raises NotFound."""
    found = _MESSAGE_ID.fullmatch(text)
    if found is None:
        raise NotFound("There is no message with this id.")
    return found[1], int(found[2])


def inbound_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not _INBOUND_ID.fullmatch(text):
        raise NotFound("There is no inbound mail with this id.")
    return text


def bulk_cursor(text: str | None) -> str | None:
    if text is not None and not is_bulk_id(text):
        raise _no_cursor()
    return text


def seq_cursor(text: str | None) -> int:
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise _no_cursor()
    return int(text)


def queue_cursor(text: str | None) -> Position | None:
    """Bulk id and seq of the last message seen; seq may be 0."""
    if text is None:
        return None
    bulk_id, _, seq = text.partition(".")
    if not is_bulk_id(bulk_id) or not seq:
        raise _no_cursor()
    return Position(bulk_id, seq_cursor(seq))


def listed_address_of(text: str) -> str:
    """The address in normal form. Raises NotFound."""
    try:
        return parse_address(text)
    except InvalidRequest as error:
        raise NotFound("This address is not on the suppression list.") from error


def entry_cursor(text: str | None) -> EntryCursor | None:
    """Undoes `entry_cursor_text`."""
    if text is None:
        return None
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True).decode()
    except ValueError as error:
        raise _no_cursor() from error
    found = _ENTRY_CURSOR.fullmatch(plain)
    if found is None or not plain.isprintable():
        raise _no_cursor()
    return EntryCursor(from_microseconds(int(found[1])), found[2])


def entry_cursor_text(entry: Suppression) -> str:
    """Letters only: an address may hold what a query string would have to escape."""
    plain = f"{to_microseconds(entry.created_at)} {entry.address}"
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def _no_cursor() -> InvalidRequest:
    return InvalidRequest("This is no cursor of ours.", pointer="?after", code="invalid_cursor")
