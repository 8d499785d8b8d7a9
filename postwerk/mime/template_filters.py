"""The filters that could make much out of little, each with a bound; MiniJinja's own ones are replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from minijinja import Environment, safe

from postwerk.errors import ContentError

MAX_FILTER_CHARACTERS = 256 * 1024
MAX_RANGE = 1_000
_WIDE = re.compile(r"\*|[0-9]{3}")
_UNBOUND_FILTERS = ("attr", "batch", "chain", "indent", "lines", "pprint", "slice", "wordwrap", "zip")
_UNBOUND_GLOBALS = ("cycler", "debug", "dict", "joiner", "namespace")


def bound_filters(environment: Environment) -> None:
    """Take away what cannot be bounded, and put the bounded filters in."""
    for name in _UNBOUND_FILTERS:
        environment.remove_filter(name)
    for name in _UNBOUND_GLOBALS:
        environment.remove_global(name)
    for name, function in _FILTERS.items():
        environment.add_filter(name, function)
    environment.add_global("range", _range)


def _format(pattern: Any, *values: Any) -> str:
    text = str(pattern)
    if _WIDE.search(text):
        raise ContentError("format takes widths below 100", code="template_too_expensive")
    return _short(text % values)


def _join(items: Any, separator: Any = "", attribute: str | None = None) -> str:
    chosen = [item[attribute] for item in items] if attribute else list(items)
    texts = ["" if item is None else str(item) for item in chosen]
    between = str(separator)
    _refuse_longer(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _replace(text: Any, old: Any, new: Any) -> str:
    subject, wanted, put = str(text), str(old), str(new)
    _refuse_longer(len(subject) + subject.count(wanted) * max(len(put) - len(wanted), 0))
    return subject.replace(wanted, put)


def _times(number: Any, factor: Any) -> int | float:
    for value in (number, factor):
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 10**18:
            raise ContentError("times multiplies two numbers")
    product: int | float = number * factor
    return product


def _to_json(value: Any) -> Any:
    # JSON in a script element: what HTML could read is written as an escape.
    text = _short(json.dumps(value, ensure_ascii=False))
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return safe(text)


def _range(start: int, stop: int | None = None, step: int = 1) -> list[int]:
    numbers = range(start) if stop is None else range(start, stop, step)
    if len(numbers) > MAX_RANGE:
        raise ContentError(f"range gives at most {MAX_RANGE} numbers", code="template_too_expensive")
    return list(numbers)


def _short(text: str) -> str:
    _refuse_longer(len(text))
    return text


def _refuse_longer(length: int) -> None:
    if length > MAX_FILTER_CHARACTERS:
        raise ContentError("a filter made too long a text", code="template_too_expensive")


_FILTERS: dict[str, Callable[..., Any]] = {
    "format": _format,
    "join": _join,
    "replace": _replace,
    "times": _times,
    "tojson": _to_json,
}
