"""What every call answers when it cannot do what was asked (RFC 9457)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class ProblemEntry(BaseModel):
    """One wrong field; `pointer` is a JSON pointer, or "?name" for a parameter."""

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[ProblemEntry]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a call, for the OpenAPI document."""
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _DESCRIPTIONS[status], "content": schema} for status in statuses}


_DESCRIPTIONS = {
    400: "The body cannot be read",
    401: "The call came without an API key that is taken",
    403: "The API key lacks a scope, or may not send from this domain",
    404: "There is no such thing here",
    409: "The state does not allow this",
    410: "What is asked for is not kept any more",
    413: "Larger than this installation takes",
    415: "A content type or encoding that is not taken",
    422: "A field or parameter is wrong; `errors` names each",
    429: "Too many calls or messages for now; try again after `Retry-After` seconds",
    503: "A part of the system is away; try again after `Retry-After` seconds",
}
