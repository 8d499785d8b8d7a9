"""Which events a webhook wants: types by their names, or by the part before the full stop."""

from __future__ import annotations

from collections.abc import Sequence

from postwerk.contracts.events import EventType
from postwerk.errors import InvalidRequest

EVERYTHING = "*"
_GROUPS = tuple(dict.fromkeys(f"{one.value.partition('.')[0]}.*" for one in EventType))


def read_types(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """As they are kept; None, and "*": all. Raises InvalidRequest for a type that does not exist."""
    if given is None:
        return None
    if not given:
        raise InvalidRequest("Name a type, or leave this out: all.", pointer="#/types", code="missing")
    known = {EVERYTHING, *_GROUPS, *(one.value for one in EventType)}
    for number, one in enumerate(given):
        if one not in known:
            raise InvalidRequest(
                f"There is no such type; known are {EVERYTHING}, {', '.join(_GROUPS)} and those in them.",
                pointer=f"#/types/{number}",
                code="unknown_type",
            )
    return None if EVERYTHING in given else tuple(dict.fromkeys(given))


def wanted_types(kept: Sequence[str] | None) -> list[str] | None:
    """Each by its own name; None: all."""
    if kept is None:
        return None
    return [one.value for one in EventType if {one.value, f"{one.value.partition('.')[0]}.*"} & set(kept)]
