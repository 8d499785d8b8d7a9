"""JSON with a long list in it: the fields as data, the entries of the list left as bytes until their turn.

A list of half a million recipients costs little more memory than its bytes.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from api.errors import MalformedBody
from api.taking.strict_json import malformed, strict_json
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import find_nul

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries = msgspec.json.Decoder(list[msgspec.Raw])
_LEFT = "attachments"
"""Its entries are left as bytes too: base64 of megabytes becomes bytes without ever being a text."""
_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BEFORE_KEY = re.compile(rb"[\s,{]*")
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:\s*')
_END = re.compile(rb"[\s}]*")


def read_json(body: bytes, listed: str = "recipients") -> tuple[dict[str, Any], list[msgspec.Raw]]:
    """The fields without the list named `listed`, and its entries. Raises MalformedBody, InvalidRequest."""
    fields = top_level(body)
    entries = _list(listed, fields.pop(listed, None))
    return _document(fields, body), entries


def read_document(body: bytes) -> dict[str, Any]:
    """The same of an object without such a list."""
    return _document(top_level(body), body)


def _document(fields: dict[str, msgspec.Raw], body: bytes) -> dict[str, Any]:
    document = {name: strict_json(raw, f"#/{_step(name)}") for name, raw in fields.items() if name != _LEFT}
    if _LEFT in fields:
        document[_LEFT] = _list(_LEFT, fields[_LEFT])
    if b"\\u0000" in body:
        wrong = find_nul(document)
        if wrong:
            raise InvalidRequest("A NUL character cannot be kept.", pointer=wrong, code="invalid_text")
    return document


def top_level(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields as bytes. Raises MalformedBody, InvalidRequest."""
    try:
        fields = _fields.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest("The body must be a JSON object.", code="invalid_type") from error
    except _WRONG as error:
        raise malformed(body, "#") from error
    _check_once(body, fields)
    return fields


def _check_once(body: bytes, fields: dict[str, msgspec.Raw]) -> None:
    """Walk over the fields as they must stand if each stands once. Raises MalformedBody.

    A parser keeps the last of two values; then the walk does not come out at the end.
    """
    position = 0
    for name, raw in fields.items():
        position = _end_of(_BEFORE_KEY, body, position)
        after_key = _end_of(_KEY, body, position)
        size = len(memoryview(raw))
        if after_key == position or _name(body[position:after_key]) != name:
            raise _twice(name)
        position = after_key + size
    if _end_of(_END, body, position if fields else _end_of(_BEFORE_KEY, body, 0)) != len(body):
        raise _twice(next(iter(fields), ""))


def _end_of(pattern: re.Pattern[bytes], body: bytes, position: int) -> int:
    found = pattern.match(body, position)
    return position if found is None else found.end()


def _name(key: bytes) -> str:
    return str(msgspec.json.decode(key.rstrip()[:-1]))


def _twice(name: str) -> MalformedBody:
    return MalformedBody(
        "A field of the body stands in it twice.", pointer=f"#/{_step(name)}", code="duplicate_key"
    )


def _list(name: str, raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    if raw is None:
        return []
    try:
        return _entries.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"The {name} must be a list.", pointer=f"#/{name}", code="invalid_type"
        ) from error
    except _WRONG as error:
        raise malformed(bytes(raw), f"#/{name}") from error


def _step(name: str) -> str:
    """RFC 6901: "~" and "/" are escaped."""
    return name[:200].replace("~", "~0").replace("/", "~1")
