"""How the API's document tells of a body that is parsed by ourselves."""

from __future__ import annotations

from typing import Any


def json_body(shape: str, *, required: bool = True) -> dict[str, Any]:
    """For `openapi_extra`: a JSON body of this shape, one of those that api/app.py adds to the document."""
    schema = {"$ref": f"#/components/schemas/{shape}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
