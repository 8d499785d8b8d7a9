"""Suspensions, in callers' words."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from api.request_schemas import DurationInput


class SuspensionOrder(BaseModel):
    """A destination that gets no mail for a while: either a `domain` or a `provider`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    domain: StrictStr | None = Field(default=None, max_length=255)
    """This very domain, whoever runs its mail."""
    provider: StrictStr | None = Field(default=None, max_length=255)
    """A mailbox provider with all its domains, named by its lane or any of them."""
    for_: DurationInput = Field(default=None, alias="for")
    """How long, one second to 30 days. Required."""
    reason: StrictStr = Field(default="", max_length=500)
    """Why, for who looks at it later. Required."""


class SuspensionView(BaseModel):
    """A destination that gets no mail, by an operator's word."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["suspension"] = "suspension"
    id: str
    domain: str | None
    provider: str | None
    """The provider's lane."""
    reason: str
    by: str
    created_at: datetime
    until: datetime
    ended_at: datetime | None
    """When somebody ended it before its time."""
    ended_by: str | None
    active: bool
    """Whether it is in force."""


class SuspensionList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[SuspensionView]
