"""Public ids out of paths and cursors; what cannot be an id is never asked of a database."""

from __future__ import annotations

import re

from postwerk.errors import InvalidRequest, NotFound

_BULK = r"bulk_[0-9a-hjkmnp-tv-z]{26}"
_BULK_ID = re.compile(_BULK, re.ASCII)
_MESSAGE_ID = re.compile(rf"({_BULK})\.([1-9][0-9]{{0,17}})", re.ASCII)


def bulk_id_of(text: str) -> str:
    """The id if it is one. Raises NotFound."""
    if not _BULK_ID.fullmatch(text):
        raise NotFound("There is no bulk send with this id.")
    return text


def message_id_of(text: str) -> tuple[str, int]:
    """Bulk id and seq of `<bulk id>.<seq>`. Raises NotFound."""
    found = _MESSAGE_ID.fullmatch(text)
    if found is None:
        raise NotFound("There is no message with this id.")
    return found[1], int(found[2])


def bulk_cursor(text: str | None) -> str | None:
    if text is not None and not _BULK_ID.fullmatch(text):
        raise InvalidRequest("This is no cursor of ours.", pointer="?after", code="invalid_cursor")
    return text


def seq_cursor(text: str | None) -> int:
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise InvalidRequest("This is no cursor of ours.", pointer="?after", code="invalid_cursor")
    return int(text)
