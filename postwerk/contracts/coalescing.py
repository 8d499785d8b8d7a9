"""What the workflow of a coalescing key and its activity tell each other: ids and ranks, never the key."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from postwerk.contracts.orders import BulkSendInput


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True)


class Arrival(_Order):
    """A message that waits with the others of its key."""

    bulk_id: str
    rank: int
    at: datetime
    window: timedelta
    """Counts if it is the first one."""
    workflow_id: str
    """Of its key."""

    @property
    def ends(self) -> datetime:
        return self.at + self.window


class CoalesceInput(_Order):
    """Starts the workflow of a key, by the message that opens the window."""

    first: Arrival
    later: Arrival | None = None
    """The first behind the end of the window that `first` opened."""
    waiting: int = 0
    """Known of by a former run."""
    rank: int | None = None
    """The highest among them."""


class WindowOrder(_Order):
    """End the window that `opener` opened: who arrived before `ends` is in it."""

    opener: str
    ends: datetime


class WindowEnd(_Order):
    """What became of a window. `send` is to be started; None: nobody in it is to be sent any more."""

    send: BulkSendInput | None = None
    name: str = ""
    folded: int = 0
