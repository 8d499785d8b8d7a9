"""Webhooks, in callers' words. A secret stands only in the answer to the call that made it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from postwerk.contracts.webhooks import DeliveryKind, DeliveryOutcome, WebhookState


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class _View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class BatchingRequest(_Order):
    """How many events come in one request."""

    max_events: StrictInt = Field(default=1, ge=1, le=1000)
    """1: each event is a request of its own; more: `type` is `events`, and they stand in `data.events`."""
    max_wait_ms: StrictInt = Field(default=0, ge=0, le=60_000)
    """How long an event may wait for others."""


class WebhookRequest(_Order):
    """Somebody who wants to be told of events."""

    url: StrictStr = Field(max_length=2000)
    """https:// to a public address, without a password."""
    description: StrictStr = Field(default="", max_length=200)
    types: list[StrictStr] | None = Field(default=None, max_length=100)
    """Types by name, `message.*` for a group, `*` or left out for all."""
    repeated: StrictBool = False
    """Also deferrals for the same reason as the one before."""
    batching: BatchingRequest = BatchingRequest()
    state: Literal["enabled", "disabled"] = "enabled"


class WebhookChange(_Order):
    """What is to be another."""

    url: StrictStr | None = Field(default=None, max_length=2000)
    description: StrictStr | None = Field(default=None, max_length=200)
    types: list[StrictStr] | None = Field(default=None, max_length=100)
    """Null: all."""
    repeated: StrictBool | None = None
    batching: BatchingRequest | None = None
    state: Literal["enabled", "disabled"] | None = None


class SecretRotation(_Order):
    """How a new secret follows the old one."""

    keep_former_for: StrictStr | float = "24h"
    """How long the old one signs as well: a length of time up to 30 days; 0 ends it at once."""


class WebhookEnabling(_Order):
    """Where it goes on."""

    skip_missed: StrictBool = False
    """Leave out what happened meanwhile; else it comes now."""


class WebhookReplayRequest(_Order):
    """What is sent again: one of these."""

    since: StrictStr | None = Field(default=None, max_length=100)
    """A moment (RFC 3339), or the id of an event: from there on, as far as it was told of them."""
    delivery: StrictStr | None = Field(default=None, max_length=100)
    """The events of one request, by its id in the list of deliveries."""


class Batching(_View):
    """How many events come in one request."""

    max_events: int
    max_wait_ms: int


class WebhookView(_View):
    """A webhook as it stands."""

    object: Literal["webhook"] = "webhook"
    id: str
    url: str
    description: str
    types: list[str] | None
    repeated: bool
    batching: Batching
    state: WebhookState
    reason: str
    """Why it is not enabled."""
    owner: str
    """Whose sends it is told of; empty: everybody's, and of lanes and the suppression list."""
    position: str
    """Id of the last event that its receiver has, or did not want; empty: none yet."""
    former_secret_until: datetime | None
    """Until then its former secret signs as well."""
    created_at: datetime
    changed_at: datetime | None
    workflow_id: str
    """Waits and tries are in the Temporal Web UI under this id."""
    links: dict[str, str]


class NewWebhookView(WebhookView):
    """A webhook with a secret that was just made."""

    secret: str = Field(repr=False)
    """Verifies what it is told (Standard Webhooks). It is not shown again."""


class WebhookList(_View):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[WebhookView]


class WebhookDeliveryView(_View):
    """One request to a receiver."""

    object: Literal["webhook_delivery"] = "webhook_delivery"
    id: str
    kind: DeliveryKind
    message_id: str
    """Its header `webhook-id`; the same in each try."""
    events: int
    first_event: str | None
    last_event: str | None
    attempt: int
    at: datetime
    outcome: DeliveryOutcome
    status: int | None
    """Of the answer; null: there was none."""
    milliseconds: int
    detail: str
    """The beginning of the answer, or why there was none."""
    next_at: datetime | None
    """When it is tried again."""


class WebhookDeliveryList(_View):
    """A page, newest first; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[WebhookDeliveryView]


class WebhookReplayView(_View):
    """A replay that was begun."""

    object: Literal["webhook_replay"] = "webhook_replay"
    id: str
    webhook: str
    after: str
    """Sends what came behind this event ..."""
    up_to: str
    """... up to this one."""
    workflow_id: str
