"""What the archive says of operations, in callers' words."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Request

from api.dependencies import Parts
from api.operation_schemas import OperationView
from api.views import base_url
from postwerk.archive.operations import Operation
from postwerk.contracts.queue import OperationState

_STATES: dict[OperationState, Literal["running", "done", "failed"]] = {
    OperationState.RUNNING: "running",
    OperationState.TELLING: "done",
    OperationState.DONE: "done",
    OperationState.FAILED: "failed",
}


def operation_view(request: Request, parts: Parts, op: Operation) -> OperationView:
    return OperationView(
        id=op.id,
        verb=op.verb,
        state=_STATES[op.state],
        filter=filter_view(op.filter.model_dump(mode="json", exclude_defaults=True)),
        reason=op.reason,
        by=op.by,
        matched=op.matched,
        changed=op.changed,
        skipped=op.skipped,
        created_at=op.created_at,
        finished_at=op.finished_at,
        detail=op.detail,
        links={"self": f"{base_url(request, parts)}/v1/operations/{op.id}"},
    )


def filter_view(stored: dict[str, Any]) -> dict[str, Any]:
    """As a request says it: the class 4 of replies is "4xx"."""
    code = stored.get("code")
    return stored | {"code": f"{code}xx"} if code is not None and code < 100 else stored
