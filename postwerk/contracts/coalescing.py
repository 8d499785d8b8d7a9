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
    waiting: int = 0
    """Known of by a former run."""
    rank: int | None = None
    """The highest among them."""
    public_url: str = ""
    """Of the API, for people who look at the workflow."""


class WindowOrder(_Order):
    """End the first window of a message's key, if it is over by `ends`; whoever opened it in truth."""

    opener: str
    ends: datetime


class WindowEnd(_Order):
    """What became of a window. `send` is to be started; None: nobody in it is to be sent any more.

    `first`: who has opened the next one by now.
    """

    send: BulkSendInput | None = None
    name: str = ""
    folded: int = 0
    first: Arrival | None = None
