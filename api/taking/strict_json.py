"""JSON that means one thing to everybody (RFC 7493): what is doubtful in it is refused, and its place named.

The quick parser reads; what it refuses, and what may hold a key twice, is read once more to find out where.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from api.errors import MalformedBody

_WRONG = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_HALF = re.compile("[\ud800-\udfff]")
SEARCHED = 1024 * 1024
"""Octets: what is wrong in a larger document is refused without saying where."""
DEEPEST = 100
"""Levels of lists and objects that are walked to find what is wrong."""


class _Trouble(NamedTuple):
    """A value that stands for what cannot be taken."""

    code: str
    detail: str


_NO_NUMBER = _Trouble("invalid_number", "JSON has no NaN and no Infinity, and this number is too large.")


class _Twice(dict[str, Any]):
    """An object in which a key stood twice."""

    key = ""


def strict_json(document: bytes | msgspec.Raw, pointer: str = "#") -> Any:
    """The value. Raises MalformedBody pointing at what is wrong."""
    try:
        value = msgspec.json.decode(document)
    except _WRONG as error:
        raise malformed(bytes(document), pointer) from error
    if isinstance(value, dict | list):
        check_keys(bytes(document), count_keys(value), pointer)
    return value


def malformed(document: bytes, pointer: str) -> MalformedBody:
    """Why the quick parser refuses it: where, as far as that can be found."""
    try:
        found = None if len(document) > SEARCHED else _first_trouble(_read(document), pointer, 0)
    except RecursionError:
        return MalformedBody("This is nested too deep.", pointer=pointer, code="nested_too_deep")
    except ValueError:  # no JSON at all, or no UTF-8
        found = None
    if found is None:
        return MalformedBody("This is not valid JSON.", pointer=pointer)
    where, trouble = found
    return MalformedBody(trouble.detail, pointer=where, code=trouble.code)


def count_keys(value: Any) -> int:
    """How many keys its objects have, all together."""
    if isinstance(value, dict):
        return len(value) + sum(count_keys(one) for one in value.values() if isinstance(one, dict | list))
    if isinstance(value, list):
        return sum(count_keys(one) for one in value if isinstance(one, dict | list))
    return 0


def check_keys(document: bytes, known: int, pointer: str = "#") -> None:
    """Raises MalformedBody for an object that has a key twice: one reader takes the first, another the last.

    `known`: the keys of the parsed document. As many colons mean that none is missing; texts have some too.
    """
    if document.count(b":") == known:
        return
    try:
        _decode_once_only(document.decode())
    except _Doubled:
        raise malformed(document, pointer) from None


class _Doubled(Exception):
    """An object has a key twice."""


def _once_only(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Doubled


_decode_once_only = json.JSONDecoder(object_pairs_hook=_once_only).decode


def _read(document: bytes) -> Any:
    return json.loads(
        document.decode(),
        object_pairs_hook=_object,
        parse_constant=lambda _name: _NO_NUMBER,
        parse_float=_number,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    twice, seen = _Twice(found), set[str]()
    twice.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return twice


def _number(text: str) -> float | _Trouble:
    number = float(text)
    return _NO_NUMBER if number in (float("inf"), float("-inf")) else number


def _first_trouble(value: Any, pointer: str, depth: int) -> tuple[str, _Trouble] | None:
    if isinstance(value, _Trouble):
        return pointer, value
    if isinstance(value, str) and _HALF.search(value):
        return pointer, _Trouble("invalid_text", "This holds half a character (a lone surrogate).")
    if isinstance(value, _Twice):
        return f"{pointer}/{_step(value.key)}", _Trouble("duplicate_key", "This key stands here twice.")
    if depth == DEEPEST:
        raise RecursionError
    inner: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, dict):
        inner = iter(value.items())
    elif isinstance(value, list):
        inner = iter(enumerate(value))
    for name, one in inner:
        found = _first_trouble(name, pointer, depth + 1) if isinstance(name, str) else None
        found = found or _first_trouble(one, f"{pointer}/{_step(name)}", depth + 1)
        if found:
            return found
    return None


def _step(name: Any) -> str:
    """RFC 6901: "~" and "/" are escaped."""
    return _HALF.sub("\ufffd", str(name)[:200]).replace("~", "~0").replace("/", "~1")
