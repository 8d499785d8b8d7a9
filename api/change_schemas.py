"""A change of a bulk send that is there already, in callers' words."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from api.request_schemas import DurationInput, RetryInput, WindowRequest


class BulkSendChange(BaseModel):
    """What is named is changed, also for mail that waits already; null puts it back to its default."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rate: Annotated[StrictStr, Field(max_length=50)] | None = None
    """Messages at most: "100/s", "30/min,burst=5", "1000/h", "10000/d"; null: as fast as it goes."""
    retry: RetryInput | None = None
    """A preset's name, or a schedule; null: that of the settings."""
    relay: Annotated[StrictStr, Field(max_length=50)] | None = None
    """Which relay takes the rest of its mail, by a name of the settings; null: the default one."""
    deadline: DurationInput = None
    """When its time is over: so long after it was accepted or began ("3d"), or a moment
    ("2026-12-01T08:00:00Z"); null: five days."""
    send_at: Annotated[StrictStr, Field(max_length=50)] | None = None
    """When it begins, earlier or later, as long as it has not begun; null: now."""
    expires_at: Annotated[StrictStr, Field(max_length=50)] | None = None
    """What is not delivered by then ends `expired`; null: only the deadline counts."""
    window: WindowRequest | None = None
    """When it may be sent, also for mail that waits already; null: at any time."""
    name: Annotated[StrictStr, Field(max_length=200)] | None = None
    """A title for people; null: none. The Temporal Web UI keeps the first one."""
    reason: Annotated[StrictStr, Field(min_length=1, max_length=500)] | None = None
    """Why, for who reads the audit trail."""
