"""What a root workflow knows of those who carry its batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from postwerk.contracts.orders import BatchOrder, DeadlineSignal, ExpirySignal, HoldSignal


class Carriers(Protocol):
    """Those who carry the batches: child workflows, or the root itself."""

    changed: Callable[[], None]
    """Called whenever one ends."""
    deadline: datetime | None
    """Where it has moved: of those that start from now on."""
    expires_at: datetime | None
    """The end of their time whatever the deadline says; of those that start from now on."""
    done: int
    lost: int

    @property
    def started(self) -> int: ...

    async def deliver(self, orders: Sequence[BatchOrder], deadline: datetime) -> None: ...

    async def expand(self, bulk_id: str, first: int, last: int, deadline: datetime) -> None: ...

    async def hold(self, signal: HoldSignal) -> None: ...

    async def release(self, signal: HoldSignal) -> None: ...

    async def signal(self, name: str, signal: HoldSignal | DeadlineSignal | ExpirySignal) -> None: ...
