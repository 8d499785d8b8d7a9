"""JSON with a long list in it: the fields as data, the entries of the list left as bytes until their turn.

A list of half a million recipients costs little more memory than its bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.errors import MalformedBody
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import find_nul

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries = msgspec.json.Decoder(list[msgspec.Raw])
_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_json(body: bytes, listed: str = "recipients") -> tuple[dict[str, Any], list[msgspec.Raw]]:
    """The fields without the list named `listed`, and its entries. Raises MalformedBody, InvalidRequest."""
    fields = _top_level(body)
    entries = _list(listed, fields.pop(listed, None))
    return _document(fields, body), entries


def read_document(body: bytes) -> dict[str, Any]:
    """The same of an object without such a list."""
    return _document(_top_level(body), body)


def _document(fields: dict[str, msgspec.Raw], body: bytes) -> dict[str, Any]:
    document = {name: _value(name, raw) for name, raw in fields.items()}
    if b"\\u0000" in body:
        wrong = find_nul(document)
        if wrong:
            raise InvalidRequest("A NUL character cannot be kept.", pointer=wrong, code="invalid_text")
    return document


def _top_level(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _fields.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest("The body must be a JSON object.", code="invalid_type") from error
    except _WRONG as error:
        raise MalformedBody("The body is not valid JSON.") from error


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
        raise MalformedBody(f"The {name} are not valid JSON.") from error


def _value(name: str, raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.ValidationError, *_WRONG) as error:  # lone surrogates, 1e999, 100,000 brackets
        raise MalformedBody(f"The field {name[:50]!r} is not valid JSON.") from error
