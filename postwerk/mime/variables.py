"""The variables of a message: plain JSON values, and how much of them there may be."""

from __future__ import annotations

from typing import Any

from postwerk.errors import ContentError

MAX_VARIABLES = 256 * 1024
MAX_ITEMS = 10_000
MAX_DEPTH = 32
_ITEM = 4
"""A list's item costs about as much as four characters of a text."""


def weigh(value: Any) -> int:
    """The longest text or list in the variables: what one instruction can touch at most."""
    total = [0]
    try:
        heaviest = _weigh(value, 0, total)
    except UnicodeEncodeError:
        raise ContentError("the variables contain half a character (a lone surrogate)") from None
    if total[0] > MAX_VARIABLES:
        raise _variables_too_large()
    return heaviest


def _weigh(value: Any, depth: int, total: list[int]) -> int:
    if isinstance(value, str):
        total[0] += len(value) if value.isascii() else len(value.encode())
        return len(value)
    if isinstance(value, dict | list | tuple):
        if depth == MAX_DEPTH or len(value) > MAX_ITEMS:
            raise ContentError(
                f"the variables have more than {MAX_DEPTH} levels or {MAX_ITEMS} items", code="too_large"
            )
        total[0] += len(value)
        if total[0] > MAX_VARIABLES:
            raise _variables_too_large()
        inner = value.values() if isinstance(value, dict) else value
        return max([_ITEM * len(value), *(_weigh(item, depth + 1, total) for item in inner)])
    if value is not None and not isinstance(value, bool | int | float):
        raise ContentError("variables are JSON values: text, numbers, lists and objects")
    return 1


def _variables_too_large() -> ContentError:
    return ContentError(f"the variables are larger than {MAX_VARIABLES} characters", code="too_large")
