"""An operator's order as a small JSON object: read, and each wrong field named."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.errors import InvalidFields
from api.taking.body import whole_body
from api.taking.strict_json import strict_json
from postwerk.errors import InvalidRequest

T = TypeVar("T", bound=BaseModel)


async def read_object(request: Request, most_bytes: int) -> dict[str, Any]:
    """The body as a JSON object. Raises MalformedBody, InvalidRequest, TooLarge."""
    return object_of(await whole_body(request, most_bytes))


def object_of(body: bytes) -> dict[str, Any]:
    """Raises MalformedBody, InvalidRequest."""
    document = strict_json(body)
    if not isinstance(document, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_type")
    return document


def read_fields_of(document: dict[str, Any], kind: type[T]) -> T:
    """Raises InvalidFields naming each wrong field."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise InvalidFields(
            "Some fields cannot be taken.", [_entry(problem) for problem in error.errors()]
        ) from error


def check_words(words: str, pointer: str) -> None:
    """Raises InvalidRequest for what cannot stand on one line."""
    if not words.strip() or not words.isprintable():
        raise InvalidRequest(
            "Write some words on one line, without control characters.", pointer=pointer, code="invalid_text"
        )


def _entry(problem: Any) -> dict[str, str]:
    pointer = "#" + "".join(f"/{str(step)[:200]}" for step in problem["loc"])
    code = {"extra_forbidden": "unknown_field"}.get(problem["type"], str(problem["type"]))
    detail = "This field is not known here." if code == "unknown_field" else str(problem["msg"])
    return {"pointer": pointer, "code": code, "detail": detail}
