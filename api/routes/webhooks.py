"""Webhooks: who is told of events, where, and how that goes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api import webhook_keeping
from api.access import shown_to
from api.body_schemas import json_body
from api.claim import Claim
from api.dependencies import Parts, UseParts
from api.idempotency import MayRepeat
from api.ids import id_cursor, webhook_id_of
from api.making import json_response
from api.parameters import only_parameters
from api.problem_schemas import problems
from api.taking.body import whole_body
from api.views import base_url
from api.webhook_orders import MOST_BYTES, new_webhook, read_change, read_keeping, read_order, state_changes
from api.webhook_schemas import (
    NewWebhookView,
    SecretRotation,
    WebhookChange,
    WebhookDeliveryList,
    WebhookDeliveryView,
    WebhookEnabling,
    WebhookList,
    WebhookReplayRequest,
    WebhookReplayView,
    WebhookRequest,
    WebhookView,
)
from api.webhook_views import delivery_view, event_id, new_webhook_view, webhook_view
from api.who import By
from postwerk.archive import webhook_deliveries, webhooks
from postwerk.archive.event_cursor import Cursor
from postwerk.archive.ids import new_id
from postwerk.archive.outbox import newest
from postwerk.archive.webhooks import Webhook
from postwerk.contracts.webhooks import DeliveryOutcome, WebhookState

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post(
    "",
    status_code=201,
    response_model=NewWebhookView,
    responses=problems(400, 409, 413, 422, 503),
    openapi_extra=json_body("WebhookRequest"),
)
async def create(request: Request, parts: UseParts, actor: By, repeatable: MayRepeat) -> Response:
    """Tell somebody of what happens from now on. The answer holds the secret that signs, once.

    A key without the scope `admin` makes webhooks for its own sends alone.
    """
    only_parameters(request)
    body = await whole_body(request, MOST_BYTES)

    async def make(claim: Claim) -> Response:
        wanted, owner = read_order(body, WebhookRequest), shown_to(request) or ""
        async with parts.archive.reading() as connection:
            cursor = await newest(connection)
        made = await new_webhook(parts, wanted, claim.resource, owner, cursor, parts.now())
        answer = _shown_once(request, parts, made, 201)

        async def remember(connection: AsyncConnection, _made: Webhook) -> None:
            await claim.remember(connection, answer)

        await webhook_keeping.create(parts, made, actor, remember)
        return answer

    return await repeatable.once(body, lambda: new_id("wh"), make)


@router.get("", response_model=WebhookList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> WebhookList:
    """The webhooks, newest first; to a key without the scope `admin`, its own."""
    only_parameters(request, "limit", "after")
    async with parts.archive.reading() as connection:
        found = await webhooks.webhooks(
            connection, owner=shown_to(request), limit=limit + 1, after=id_cursor(after, "wh")
        )
    page, has_more = found[:limit], len(found) > limit
    return WebhookList(
        has_more=has_more,
        next=page[-1].id if has_more else None,
        data=[webhook_view(request, parts, one) for one in page],
    )


@router.get("/{webhook_id}", response_model=WebhookView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, webhook_id: str) -> WebhookView:
    """One webhook, and how far its receiver has been told."""
    only_parameters(request)
    return webhook_view(request, parts, await _found(parts, webhook_id))


@router.patch(
    "/{webhook_id}",
    response_model=WebhookView,
    responses=problems(400, 404, 413, 422, 503),
    openapi_extra=json_body("WebhookChange"),
)
async def change(request: Request, parts: UseParts, actor: By, webhook_id: str) -> WebhookView:
    """Another URL, other types, another batching. What waits for its next try is tried at once."""
    only_parameters(request)
    webhook_id, body = webhook_id_of(webhook_id), await whole_body(request, MOST_BYTES)
    changes = await read_change(parts, read_order(body, WebhookChange))
    return webhook_view(request, parts, await webhook_keeping.change(parts, webhook_id, changes, actor))


@router.delete("/{webhook_id}", status_code=204, responses=problems(404, 422, 503))
async def delete(request: Request, parts: UseParts, actor: By, webhook_id: str) -> Response:
    """Tell it nothing any more, and forget it with its log."""
    only_parameters(request)
    await webhook_keeping.delete(parts, webhook_id_of(webhook_id), actor)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/enable",
    response_model=WebhookView,
    responses=problems(400, 404, 413, 422, 503),
    openapi_extra=json_body("WebhookEnabling", required=False),
)
async def enable(request: Request, parts: UseParts, actor: By, webhook_id: str) -> WebhookView:
    """Go on where it stopped: what happened meanwhile comes now, unless it is skipped."""
    only_parameters(request)
    webhook_id, body = webhook_id_of(webhook_id), await whole_body(request, MOST_BYTES)
    order = read_order(body, WebhookEnabling, required=False)
    enabled = await webhook_keeping.enable(parts, webhook_id, actor, skip_missed=order.skip_missed)
    return webhook_view(request, parts, enabled)


@router.post("/{webhook_id}/disable", response_model=WebhookView, responses=problems(404, 422, 503))
async def disable(request: Request, parts: UseParts, actor: By, webhook_id: str) -> WebhookView:
    """Tell it nothing for now; in force within two seconds. Its place among the events is kept."""
    only_parameters(request)
    changes = state_changes(WebhookState.DISABLED)
    disabled = await webhook_keeping.change(
        parts, webhook_id_of(webhook_id), changes, actor, "webhook.disable"
    )
    return webhook_view(request, parts, disabled)


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=NewWebhookView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=json_body("SecretRotation", required=False),
)
async def rotate_secret(
    request: Request, parts: UseParts, actor: By, repeatable: MayRepeat, webhook_id: str
) -> Response:
    """A new secret, shown once; for a while the former one signs as well."""
    only_parameters(request)
    webhook_id, body = webhook_id_of(webhook_id), await whole_body(request, MOST_BYTES)

    async def make(claim: Claim) -> Response:
        keep = read_keeping(read_order(body, SecretRotation, required=False))
        answer = Response()

        async def remember(connection: AsyncConnection, changed: Webhook) -> None:
            nonlocal answer
            answer = _shown_once(request, parts, changed, 200)
            await claim.remember(connection, answer)

        await webhook_keeping.rotate(parts, webhook_id, actor, keep, remember)
        return answer

    return await repeatable.once(body, lambda: new_id("rot"), make)


@router.post(
    "/{webhook_id}/test",
    response_model=WebhookDeliveryView,
    responses=problems(400, 404, 409, 422, 503),
)
async def test(
    request: Request, parts: UseParts, actor: By, repeatable: MayRepeat, webhook_id: str
) -> Response:
    """Send `webhook.test` now, once, and answer what the receiver said; also while it is disabled."""
    only_parameters(request)
    webhook_id = webhook_id_of(webhook_id)

    async def make(_claim: Claim) -> Response:
        return json_response(delivery_view(await webhook_keeping.send_test(parts, webhook_id, actor)), 200)

    return await repeatable.once(b"", lambda: new_id("whd"), make)


@router.get("/{webhook_id}/deliveries", response_model=WebhookDeliveryList, responses=problems(404, 422, 503))
async def deliveries(
    request: Request,
    parts: UseParts,
    webhook_id: str,
    outcome: DeliveryOutcome | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> WebhookDeliveryList:
    """The requests and what they were answered, newest first: of a day; those that failed, of seven."""
    only_parameters(request, "outcome", "limit", "after")
    hook, last_seen = await _found(parts, webhook_id), id_cursor(after, "whd")
    async with parts.archive.reading() as connection:
        found = await webhook_deliveries.deliveries(
            connection, hook.id, outcome=outcome, limit=limit + 1, after=last_seen
        )
    page, has_more = found[:limit], len(found) > limit
    return WebhookDeliveryList(
        has_more=has_more,
        next=page[-1].id if has_more else None,
        data=[delivery_view(one) for one in page],
    )


@router.post(
    "/{webhook_id}/replay",
    status_code=202,
    response_model=WebhookReplayView,
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra=json_body("WebhookReplayRequest"),
)
async def replay(
    request: Request, parts: UseParts, actor: By, repeatable: MayRepeat, webhook_id: str
) -> Response:
    """Send again what its receiver has been told: since a moment or an event, or one request.

    What happens meanwhile goes on being told."""
    only_parameters(request)
    webhook_id, body = webhook_id_of(webhook_id), await whole_body(request, MOST_BYTES)

    async def make(claim: Claim) -> Response:
        wanted = read_order(body, WebhookReplayRequest)
        order, workflow_id = await webhook_keeping.replay(parts, webhook_id, wanted, claim.resource, actor)
        view = WebhookReplayView(
            id=claim.resource,
            webhook=webhook_id,
            after=event_id(Cursor(**order.position.model_dump())),
            up_to=event_id(Cursor(**order.last.model_dump())),
            workflow_id=workflow_id,
        )
        return json_response(view, 202)

    return await repeatable.once(body, lambda: new_id("replay"), make, same_resource=True)


async def _found(parts: Parts, webhook_id: str) -> Webhook:
    async with parts.archive.reading() as connection:
        return await webhooks.webhook(connection, webhook_id_of(webhook_id))


def _shown_once(request: Request, parts: Parts, made: Webhook, status: int) -> Response:
    view = new_webhook_view(request, parts, made)
    location = f"{base_url(request, parts)}/v1/webhooks/{made.id}" if status == 201 else ""
    return json_response(view, status, location)
