"""The criteria of a queue filter, each read by itself: a caller's value into its normal form.

Every reader takes the value and the pointer of its field, and raises InvalidRequest pointing there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from api.ids import is_bulk_id, is_message_id
from api.suppression_schemas import REASON
from postwerk.archive.plan import OTHER_LANE
from postwerk.contracts.queue import MOST_IDS
from postwerk.contracts.states import MessageState
from postwerk.errors import InvalidRequest
from postwerk.rules.addresses import parse_address
from postwerk.rules.durations import parse_duration
from postwerk.rules.providers import lane_of

_REASON = re.compile(REASON, re.ASCII)
_LONGEST_PART = 254
_CODE = re.compile(r"[2-5](?:[0-9]{2}|xx)", re.ASCII | re.IGNORECASE)


def read_ids(value: Any, pointer: str) -> tuple[str, ...]:
    """At most 1,000 ids of messages."""
    return _each(value, pointer, _message_id)


def read_bulks(value: Any, pointer: str) -> tuple[str, ...]:
    """One id of a bulk send, or at most 1,000."""
    return _each(value, pointer, _bulk_id)


def read_states(value: Any, pointer: str, allowed: Collection[MessageState]) -> tuple[MessageState, ...]:
    def state(value: Any, pointer: str) -> MessageState:
        if value not in list(allowed):  # a list: what cannot be hashed is merely not among them
            names = ", ".join(one.value for one in MessageState if one in allowed)
            raise InvalidRequest(f"Name states among {names}.", pointer=pointer, code="invalid_state")
        return MessageState(value)

    return _each(value, pointer, state)


def read_provider(value: Any, pointer: str) -> str:
    """The lane of the provider that runs this domain; or `other`, where domains with little mail are."""
    if isinstance(value, str) and value.lower() == OTHER_LANE:
        return OTHER_LANE
    return lane_of(read_domain(value, pointer))


def read_domain(value: Any, pointer: str) -> str:
    """A-labels in lower case."""
    try:
        return parse_address(f"postmaster@{_text(value, pointer)}").rpartition("@")[2]
    except InvalidRequest as error:
        raise InvalidRequest(
            "This is no mail domain; write it as behind the @ of an address, such as gmx.de.",
            pointer=pointer,
            code="invalid_domain",
        ) from error


def read_recipient(value: Any, pointer: str) -> str:
    """An address in normal form."""
    try:
        return parse_address(_text(value, pointer))
    except InvalidRequest as error:
        raise InvalidRequest(error.message, pointer=pointer, code=error.code) from error


def read_code(value: Any, pointer: str) -> int:
    """200 to 599 as they are; "4xx" is 4."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not _CODE.fullmatch(text):
        raise InvalidRequest(
            'Give a reply code such as 451, or a class of them such as "4xx".',
            pointer=pointer,
            code="invalid_code",
        )
    return int(text[0]) if text[1:].lower() == "xx" else int(text)


def read_reason(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or not _REASON.fullmatch(value):
        raise InvalidRequest(
            "Give the name of a reason, such as greylisted; docs/replies.md lists them.",
            pointer=pointer,
            code="invalid_reason",
        )
    return value


def read_part(value: Any, pointer: str) -> str:
    """Part of an address."""
    part = _text(value, pointer)
    if not part.isprintable() or not 0 < len(part) <= _LONGEST_PART:
        raise InvalidRequest(
            f"Give a part of the address, at most {_LONGEST_PART} printable characters.",
            pointer=pointer,
            code="invalid_text",
        )
    return part


def read_age(value: Any, pointer: str) -> timedelta:
    return parse_duration(value, pointer=pointer)


def read_all(value: Any, pointer: str) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise InvalidRequest("Say true, or leave it out.", pointer=pointer, code="invalid_all")
    return bool(value == "true")


def _each(value: Any, pointer: str, read: Callable[[Any, str], Any]) -> tuple[Any, ...]:
    """One or many, each once. No list may be empty: its sender meant some, and would be given all."""
    if not isinstance(value, list):
        return (read(value, pointer),)
    if not value:
        raise InvalidRequest("This list is empty; leave it out to mean any.", pointer=pointer, code="empty")
    if len(value) > MOST_IDS:
        raise InvalidRequest(f"At most {MOST_IDS:,} at a time.", pointer=pointer, code="too_many")
    return tuple(dict.fromkeys(read(one, f"{pointer}/{n}") for n, one in enumerate(value)))


def _message_id(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or not is_message_id(value):
        raise InvalidRequest(
            "This is no id of a message: it is `<id of the bulk send>.<number>`.",
            pointer=pointer,
            code="invalid_id",
        )
    return value


def _bulk_id(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or not is_bulk_id(value):
        raise InvalidRequest("This is no id of a bulk send.", pointer=pointer, code="invalid_id")
    return value


def _text(value: Any, pointer: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest("This must be a text.", pointer=pointer, code="invalid_type")
    return value
