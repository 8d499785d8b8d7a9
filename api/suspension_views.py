"""A suspension as the archive knows it, in callers' words."""

from __future__ import annotations

from datetime import datetime

from api.suspension_schemas import SuspensionView
from postwerk.archive.suspensions import Suspension
from postwerk.rules.suspending import SuspensionKind


def suspension_view(one: Suspension, now: datetime) -> SuspensionView:
    return SuspensionView(
        id=one.id,
        domain=one.name if one.kind is SuspensionKind.DOMAIN else None,
        provider=one.name if one.kind is SuspensionKind.PROVIDER else None,
        reason=one.reason,
        by=one.by,
        created_at=one.created_at,
        until=one.until,
        ended_at=one.ended_at,
        ended_by=one.ended_by or None,
        active=one.is_active(now),
    )
