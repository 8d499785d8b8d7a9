"""API keys, in callers' words. The key itself stands in one answer alone: the one that made it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from postwerk.contracts.keys import Scope

Expiry = StrictStr | float | None


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class KeyRequest(_Order):
    """A key that is asked for."""

    name: StrictStr = Field(max_length=200)
    """Signs what is done with it; at most 60 letters, digits, spaces and . _ @ : / + -"""
    scopes: list[StrictStr] = Field(max_length=10)
    """send, read, operate, admin."""
    domains: list[StrictStr] | None = None
    """From domains it may use: `shop.example` itself, `.shop.example` all below it; left out: any."""
    quota: StrictStr | None = None
    """Messages at most, such as `10000/d` or `500/h`; left out: any number."""
    expires: Expiry = None
    """A length of time such as `90d`, or a moment (RFC 3339); left out: never."""


class KeyChange(_Order):
    """What is to be another; null takes a limit away."""

    name: StrictStr | None = Field(default=None, max_length=200)
    domains: list[StrictStr] | None = None
    quota: StrictStr | None = None
    expires: Expiry = None


class RotationRequest(_Order):
    """How the new key follows the old one."""

    grace: StrictStr | float = "24h"
    """How long the old one goes on: a length of time up to 90 days; 0 ends it at once."""
    expires: Expiry = None
    """The end of the new one, as for a new key; left out: it lives as long as the old one was to live."""


class KeyView(BaseModel):
    """A key as it stands."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["api_key"] = "api_key"
    id: str
    name: str
    prefix: str
    """Its first characters, to recognise it by."""
    state: Literal["active", "expired", "revoked"]
    scopes: list[Scope]
    domains: list[str] | None
    quota: str | None
    quota_left: int | None
    """Messages that may be accepted now; null without a quota, and in lists."""
    owner: str
    """Whose its sends are; a key and the one it replaces have the same."""
    rotates: str | None
    """The key it replaces."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class NewKeyView(KeyView):
    """A key that was just made."""

    key: str = Field(repr=False)
    """The key itself. It is stored nowhere and never shown again."""


class KeyList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[KeyView]
