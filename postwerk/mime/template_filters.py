"""The filters that could make much out of little, with a bound on what all of them make in one render."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from minijinja import Environment, safe

from postwerk.errors import ContentError

MAX_MADE = 2_000_000
"""Characters that the filters of one render may make, all together."""
MAX_RANGE = 1_000
_WIDE = re.compile(r"\*|[0-9]{3}")
_UNBOUND_FILTERS = ("attr", "batch", "chain", "indent", "lines", "pprint", "slice", "wordwrap", "zip")
_UNBOUND_GLOBALS = ("cycler", "debug", "dict", "joiner", "namespace")


class BoundFilters:
    """Replaces MiniJinja's own filters of the same names; `renew` before each render."""

    def __init__(self, environment: Environment) -> None:
        self._left = MAX_MADE
        for name in _UNBOUND_FILTERS:
            environment.remove_filter(name)
        for name in _UNBOUND_GLOBALS:
            environment.remove_global(name)
        for function in (self.format, self.join, self.replace, self.times, self.tojson, self.urlencode):
            environment.add_filter(function.__name__, _with_values(function))
        environment.add_global("range", _range)

    def renew(self) -> None:
        self._left = MAX_MADE

    def format(self, pattern: Any, *values: Any) -> str:
        text = str(pattern)
        if _WIDE.search(text):
            raise ContentError("format takes widths below 100", code="template_too_expensive")
        self._spend(len(text) + sum(len(str(value)) for value in values))
        return str.__mod__(text, values)

    def join(self, items: Any, separator: Any = "", attribute: str | None = None) -> str:
        chosen = [item[attribute] for item in items] if attribute else list(items)
        texts = ["" if item is None else str(item) for item in chosen]
        between = str(separator)
        self._spend(sum(map(len, texts)) + (len(between) + 1) * len(texts))
        return between.join(texts)

    def replace(self, text: Any, old: Any, new: Any) -> str:
        subject, wanted, put = str(text), str(old), str(new)
        self._spend(len(subject) + subject.count(wanted) * len(put))
        return str.replace(subject, wanted, put)

    def times(self, number: Any, factor: Any) -> int | float:
        for value in (number, factor):
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 10**18:
                raise ContentError("times multiplies two numbers")
        product: int | float = number * factor
        return product

    def tojson(self, value: Any) -> Any:
        text = json.dumps(value, ensure_ascii=False)
        self._spend(len(text))
        # JSON in a script element: what HTML could read is written as an escape.
        for character in "<>&'":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return safe(text)

    def urlencode(self, value: Any) -> str:
        text = urlencode(value) if isinstance(value, dict) else quote(str(value))
        self._spend(len(text))
        return text

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise ContentError("the filters make too long texts", code="template_too_expensive")


def _with_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """MiniJinja hands a missing variable to a Python filter as None."""

    def call(*values: Any, **options: Any) -> Any:
        if any(value is None for value in values):
            reason = f"{function.__name__} was given a missing or empty variable"
            raise ContentError(reason, code="undefined_variable")
        return function(*values, **options)

    return call


def _range(start: int, stop: int | None = None, step: int = 1) -> list[int]:
    numbers = range(start) if stop is None else range(start, stop, step)
    if len(numbers) > MAX_RANGE:
        raise ContentError(f"range gives at most {MAX_RANGE} numbers", code="template_too_expensive")
    return list(numbers)
