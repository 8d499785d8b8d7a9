"""What operators had done: operations with their progress, and the audit trail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.ids import id_cursor, operation_id_of
from api.operation_views import filter_view
from api.page.answers import page
from api.page.following import follow
from api.page.queue_deeds import told_of
from api.page.rendering import render
from api.page.visit import UseVisit
from api.parameters import clean_text
from postwerk.archive import operations
from postwerk.archive.audit import AuditEntry, audit_entries
from postwerk.archive.operations import Operation
from postwerk.contracts.queue import OperationState

router = APIRouter()

PER_PAGE = 50
_MOST_NAMED = 3
"""Of a filter's many ids so many are shown."""
After = Annotated[str | None, Query(max_length=100)]


@router.get("/operations")
async def list_operations(visit: UseVisit, after: After = None) -> Response:
    """The newest first."""
    async with visit.parts.archive.reading() as connection:
        found = await operations.operations(connection, limit=PER_PAGE + 1, after=id_cursor(after, "op"))
    rows, further = found[:PER_PAGE], found[PER_PAGE - 1].id if len(found) > PER_PAGE else None
    return page(visit, "operations.html", rows=rows, next=further, after=after, which=which)


@router.get("/operations/{operation_id}")
async def operation(visit: UseVisit, operation_id: str) -> Response:
    """How far it has come."""
    async with visit.parts.archive.reading() as connection:
        op = await operations.operation(connection, operation_id_of(operation_id))
    return page(visit, "operation.html", **shown(op))


@router.get("/live/operations/{operation_id}", response_class=EventSourceResponse)
async def live(visit: UseVisit, operation_id: str) -> AsyncIterator[ServerSentEvent]:
    """How far it comes."""
    operation_id, parts = operation_id_of(operation_id), visit.parts

    async def draw() -> dict[str, str]:
        async with parts.archive.reading() as connection:
            op = await operations.operation(connection, operation_id)
        return {"operation-state": render("parts/operation_state.html", now=parts.now(), **shown(op))}

    async for event in follow(visit, ("operation", operation_id), draw):
        yield event


def shown(op: Operation) -> dict[str, Any]:
    """What its page says of it."""
    return {
        "op": op,
        "which": which,
        "told": told_of(op),
        "runs": op.state is OperationState.RUNNING,
        "share": _share(op),
    }


def _share(op: Operation) -> float:
    """How much of it is done, of 1."""
    if op.state is not OperationState.RUNNING:
        return 1.0
    return min((op.changed + op.skipped) / op.matched, 1.0) if op.matched else 0.0


def which(op: Operation | AuditEntry) -> list[tuple[str, str]]:
    """Its filter in words, criterion by criterion; nothing: the whole queue, or no filter at all."""
    stored = (
        op.filter if isinstance(op, AuditEntry) else op.filter.model_dump(mode="json", exclude_defaults=True)
    )
    return [(name, _words(value)) for name, value in filter_view(stored or {}).items()]


def _words(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    more = f" and {len(value) - _MOST_NAMED:,} more" if len(value) > _MOST_NAMED else ""
    return ", ".join(str(one) for one in value[:_MOST_NAMED]) + more


@router.get("/audit")
async def audit(
    visit: UseVisit,
    action: Annotated[str, Query(max_length=100)] = "",
    by: Annotated[str, Query(max_length=200)] = "",
    after: After = None,
) -> Response:
    """Who did what, when and why; the newest first."""
    wanted = {"action": action.strip(), "by": by.strip()}
    async with visit.parts.archive.reading() as connection:
        found = await audit_entries(
            connection,
            action=clean_text(wanted["action"] or None, "?action"),
            by=clean_text(wanted["by"] or None, "?by"),
            limit=PER_PAGE + 1,
            after=id_cursor(after, "aud"),
        )
    rows, further = found[:PER_PAGE], found[PER_PAGE - 1].id if len(found) > PER_PAGE else ""
    more = urlencode({name: value for name, value in {**wanted, "after": further}.items() if value})
    return page(visit, "audit.html", rows=rows, more=further and more, wanted=wanted, which=which)
