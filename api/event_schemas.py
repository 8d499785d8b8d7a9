"""Events, in callers' words."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.events import EventType


class EventView(BaseModel):
    """Something that happened."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """`evt_...`: sorts as text in the order of events, and says where to go on."""
    type: EventType
    timestamp: datetime
    data: dict[str, Any]
    """docs/events.md tells the fields of each type."""


class EventList(BaseModel):
    """A page, oldest first; `next` is the `after` of the following one, also when that is empty so far."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str
    data: list[EventView]
