"""One given recipient, from whatever list it came: checked, normalised, and put into its lane."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from postwerk.errors import InvalidRequest
from postwerk.rules.addresses import parse_address, parse_mailbox, parse_name
from postwerk.rules.providers import lane_of

LARGEST_VARIABLES = 64 * 1024
"""Bytes of JSON, for the variables and for the metadata of one recipient."""
LONGEST_SHOWN = 320
"""An address shown in an error is cut to this: no valid one is longer (RFC 5321 4.5.3.1)."""

# C0, C1, line separators and lone surrogates: no display name needs them, and each has broken a header.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class NewRecipient(NamedTuple):
    """A recipient ready to be stored; `variables` and `metadata` are JSON texts."""

    address: str
    name: str
    variables: str | None
    metadata: str | None
    lane: str


class Refusal(NamedTuple):
    """Why a given recipient is not taken. `row` counts as its list does: JSON from 0, lines from 1."""

    row: int
    to: str
    field: str
    code: str
    detail: str


def new_recipient(
    to: object, name: object = None, variables: Any = None, metadata: Any = None
) -> NewRecipient:
    """The recipient as it will be stored. Raises InvalidRequest pointing at the field."""
    address, own_name = _address(to)
    shown = own_name if name is None else check_name(name)
    return NewRecipient(
        address,
        shown,
        json_text(variables, "#/variables") if variables else None,
        json_text(metadata, "#/metadata") if metadata else None,
        lane_of(address.rpartition("@")[2]),
    )


def refusal(row: int, to: object, error: InvalidRequest) -> Refusal:
    """The refusal of a list's row, its address cut and cleaned for showing."""
    shown = _UNPRINTABLE.sub("\ufffd", to[:LONGEST_SHOWN]) if isinstance(to, str) else ""
    return Refusal(row, shown, error.pointer.removeprefix("#/"), error.code, error.message)


def check_name(name: object, *, pointer: str = "#/name") -> str:
    """A display name that can stand in a header. Raises InvalidRequest."""
    if not isinstance(name, str):
        raise InvalidRequest("The name must be text.", pointer=pointer, code="invalid_name")
    try:
        return parse_name(name)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, pointer=pointer, code="invalid_name") from error


def json_text(value: Any, pointer: str) -> str:
    """A JSON object as text that both databases can hold. Raises InvalidRequest."""
    try:
        document = orjson.dumps(value)
    except TypeError as error:  # lone surrogates, whole numbers beyond 64 bits, nested too deep
        raise InvalidRequest(
            f"This cannot be kept: {error}.", pointer=pointer, code="invalid_text"
        ) from error
    if len(document) > LARGEST_VARIABLES:
        raise InvalidRequest(
            f"This is larger than {LARGEST_VARIABLES:,} bytes of JSON.", pointer=pointer, code="too_large"
        )
    if b"\\u0000" in document and find_nul(value):
        raise InvalidRequest("A NUL character cannot be kept.", pointer=pointer, code="invalid_text")
    return document.decode()


def find_nul(value: Any, pointer: str = "#") -> str | None:
    """The JSON pointer of the first text, or key, with a NUL; None when there is none."""
    if isinstance(value, str):
        return pointer if "\x00" in value else None
    if isinstance(value, dict):
        for key, inner in value.items():
            name = str(key).replace("~", "~0").replace("/", "~1").replace("\x00", "\ufffd")
            found = f"{pointer}/{name}" if "\x00" in str(key) else find_nul(inner, f"{pointer}/{name}")
            if found:
                return found
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found = find_nul(inner, f"{pointer}/{index}")
            if found:
                return found
    return None


def _address(to: object) -> tuple[str, str]:
    """The address in normal form, and the display name if one was written with it."""
    try:
        if isinstance(to, str) and "<" not in to:
            return parse_address(to), ""
        if isinstance(to, str | dict):
            mailbox = parse_mailbox(to)
            return mailbox.email, mailbox.name
    except InvalidRequest as error:
        raise InvalidRequest(error.message, pointer="#/to", code=error.code) from error
    raise InvalidRequest("The address must be text.", pointer="#/to", code="invalid_address")
