"""A caller's filter of the queue: out of a JSON object, or out of the parameters of an address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from fastapi import Request

from api.errors import InvalidFields
from api.queue_criteria import (
    read_age,
    read_all,
    read_bulks,
    read_code,
    read_domain,
    read_ids,
    read_part,
    read_provider,
    read_reason,
    read_recipient,
    read_states,
)
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.errors import InvalidRequest

Reader = Callable[[Any, str], Any]
LISTS = frozenset({"ids", "bulk", "state"})
"""In an address these are given by repeating the parameter."""
CRITERIA: tuple[str, ...] = tuple(QueueFilter.model_fields)


def read_filter(
    document: Mapping[str, Any],
    *,
    may_be_empty: bool,
    pointer: str = "#/filter",
    states: Collection[MessageState] = OPEN_STATES,
    criteria: Collection[str] = CRITERIA,
) -> QueueFilter:
    """The filter of a JSON object, in normal form.

    `states` are those that may be named, `criteria` the fields that may be given. Raises InvalidFields that
    names every wrong one, InvalidRequest `empty_filter` or `all_and_more`.
    """
    found = _read(document, states, criteria, lambda name: f"{pointer}/{name}")
    return _checked(found, pointer, f"{pointer}/all", may_be_empty=may_be_empty)


def read_query_filter(request: Request, *besides: str, may_be_empty: bool = True) -> QueueFilter:
    """The same out of an address; `besides` are the parameters that mean something else.

    Raises InvalidFields for unknown ones too, and for one that is given twice and takes one value.
    """
    parameters = request.query_params
    document: dict[str, Any] = {}
    for name in parameters:
        if name not in besides:
            given = parameters.getlist(name)
            document[name] = given[0] if len(given) == 1 else given
    found = _read(document, OPEN_STATES, CRITERIA, lambda name: f"?{name}")
    return _checked(found, "?", "?all", may_be_empty=may_be_empty)


def _read(
    document: Mapping[str, Any],
    states: Collection[MessageState],
    criteria: Collection[str],
    pointer_of: Callable[[str], str],
) -> QueueFilter:
    readers: dict[str, Reader] = {**_READERS, "state": partial(read_states, allowed=states)}
    found: dict[str, Any] = {}
    wrong: list[dict[str, str]] = []
    for name, value in document.items():
        try:
            found[name] = _one(readers, criteria, name, value, pointer_of(name[:50]))
        except InvalidRequest as error:
            wrong.append({"pointer": error.pointer, "code": error.code, "detail": error.message})
    if wrong:
        raise InvalidFields("The filter cannot be taken as it is.", wrong)
    return QueueFilter(**found)


def _one(
    readers: Mapping[str, Reader], criteria: Collection[str], name: str, value: Any, pointer: str
) -> Any:
    if name not in criteria:
        kind = "parameter" if pointer.startswith("?") else "field"
        raise InvalidRequest(f"This {kind} is not known here.", pointer=pointer, code=f"unknown_{kind}")
    if value is None:
        raise InvalidRequest("This says nothing; leave it out to mean any.", pointer=pointer, code="empty")
    if isinstance(value, list) and name not in LISTS:
        raise InvalidRequest("Give one value.", pointer=pointer, code="invalid_type")
    return readers[name](value, pointer)


def _checked(found: QueueFilter, whole: str, all_: str, *, may_be_empty: bool) -> QueueFilter:
    if found.is_empty and not may_be_empty:
        raise InvalidRequest(
            "Say which messages are meant; to mean the whole queue, say all: true.",
            pointer=whole,
            code="empty_filter",
        )
    if found.all and found != QueueFilter(all=True):
        raise InvalidRequest(
            "`all` means every message; leave out the other criteria, or leave out `all`.",
            pointer=all_,
            code="all_and_more",
        )
    return found


_READERS: dict[str, Reader] = {
    "ids": read_ids,
    "bulk": read_bulks,
    "provider": read_provider,
    "domain": read_domain,
    "recipient": read_recipient,
    "code": read_code,
    "reason": read_reason,
    "q": read_part,
    "older_than": read_age,
    "younger_than": read_age,
    "all": read_all,
}
