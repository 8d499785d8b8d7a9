"""Which of the variables that templates read a recipient does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def lacking(names: Iterable[str], variables: Mapping[str, Any]) -> frozenset[str]:
    """Those of `names` ("first_name", "order.total") that are not there; of `a` and `a.b` only `a`."""
    found: set[str] = set()
    for name in sorted(names):  # a name stands before those of its fields
        parents = name.split(".")
        if any(".".join(parents[:length]) in found for length in range(1, len(parents))):
            continue
        if not _has(variables, parents):
            found.add(name)
    return frozenset(found)


def with_blanks(variables: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The variables with an empty text for each of `names`."""
    filled = dict(variables)
    for name in sorted(names):
        *parents, last = name.split(".")
        place = filled
        for parent in parents:
            below = place.get(parent)
            place[parent] = dict(below) if isinstance(below, dict) else {}
            place = place[parent]
        place[last] = ""
    return filled


def _has(variables: Mapping[str, Any], path: list[str]) -> bool:
    value: Any = variables
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return True
