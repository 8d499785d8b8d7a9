"""The audit trail, in callers' words."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class AuditEntryView(BaseModel):
    """One thing that somebody did."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["audit_entry"] = "audit_entry"
    id: str
    at: datetime
    by: str
    """Who: the header Postwerk-User, or the `by` of the call; `api` when nobody was named."""
    via: str
    action: str
    """Such as `queue.hold`, `bulk.pause`, `lane.set`, `relay.set`, `suspension.create`, `suppression.add`."""
    target: str
    """What it was done to: an id, a lane, an address; empty when it was many things."""
    filter: dict[str, Any] | None
    reason: str
    count: int | None
    """To how many messages or addresses it was done."""
    operation: str | None
    detail: dict[str, Any] | None


class AuditList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[AuditEntryView]
