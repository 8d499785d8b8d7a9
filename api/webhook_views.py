"""What the archive says of webhooks, in callers' words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fastapi import Request

from api.dependencies import Parts
from api.views import base_url
from api.webhook_schemas import Batching, NewWebhookView, WebhookDeliveryView, WebhookView
from postwerk.archive.event_cursor import START, Cursor
from postwerk.archive.webhook_deliveries import Delivery
from postwerk.archive.webhooks import Webhook
from workflows.names import webhook_workflow_id


def webhook_view(request: Request, parts: Parts, found: Webhook) -> WebhookView:
    return WebhookView(**_fields(request, parts, found))


def new_webhook_view(request: Request, parts: Parts, made: Webhook) -> NewWebhookView:
    """The one that shows its secret."""
    return NewWebhookView(**_fields(request, parts, made), secret=made.secret)


def delivery_view(found: Delivery) -> WebhookDeliveryView:
    return WebhookDeliveryView(
        id=found.id,
        kind=found.kind,
        message_id=found.message_id,
        events=found.events,
        first_event=event_id(found.first) or None,
        last_event=event_id(found.last) or None,
        attempt=found.attempt,
        at=found.at,
        outcome=found.outcome,
        status=found.status,
        milliseconds=found.milliseconds,
        detail=found.detail,
        next_at=found.next_at,
    )


def event_id(cursor: Cursor) -> str:
    """Empty for the place before the first event."""
    return "" if cursor == START else str(cursor)


def _fields(request: Request, parts: Parts, found: Webhook) -> dict[str, Any]:
    own = f"{base_url(request, parts)}/v1/webhooks/{found.id}"
    return {
        "id": found.id,
        "url": found.url,
        "description": found.description,
        "types": None if found.types is None else list(found.types),
        "repeated": found.repeated,
        "batching": Batching(
            max_events=found.max_events, max_wait_ms=found.max_wait // timedelta(milliseconds=1)
        ),
        "state": found.state,
        "reason": found.reason,
        "owner": found.owner,
        "position": event_id(found.cursor),
        "former_secret_until": _still(found.former_until, parts.now()),
        "created_at": found.created_at,
        "changed_at": found.changed_at,
        "workflow_id": webhook_workflow_id(found.id),
        "links": {"self": own, "deliveries": f"{own}/deliveries"},
    }


def _still(until: datetime | None, now: datetime) -> datetime | None:
    return until if until is not None and until > now else None
