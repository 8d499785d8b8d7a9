"""The audit trail: who did what, when and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.audit_schemas import AuditEntryView, AuditList
from api.dependencies import UseParts
from api.ids import id_cursor
from api.operation_views import filter_view
from api.parameters import clean_text, only_parameters
from api.problem_schemas import problems
from postwerk.archive.audit import AuditEntry, audit_entries

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("", response_model=AuditList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    action: Annotated[str | None, Query(max_length=100)] = None,
    by: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> AuditList:
    """The newest first; of one `action` only, or of one person (`by`)."""
    only_parameters(request, "action", "by", "limit", "after")
    async with parts.archive.reading() as connection:
        found = await audit_entries(
            connection,
            action=clean_text(action, "?action"),
            by=clean_text(by, "?by"),
            limit=limit + 1,
            after=id_cursor(after, "aud"),
        )
    page, has_more = found[:limit], len(found) > limit
    return AuditList(
        has_more=has_more, next=page[-1].id if has_more else None, data=[_view(entry) for entry in page]
    )


def _view(entry: AuditEntry) -> AuditEntryView:
    return AuditEntryView(
        id=entry.id,
        at=entry.at,
        by=entry.by,
        via=entry.via,
        action=entry.action,
        target=entry.target,
        filter=filter_view(entry.filter) if entry.filter else entry.filter,
        reason=entry.reason,
        count=entry.count,
        operation=entry.operation,
        detail=entry.details,
    )
