"""What a worker process hands to its activities: parts that live as long as the process."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from activities.contents import BulkContent, Contents
from activities.routes import Route, Routes
from activities.stopping import StoppingOperations
from postwerk.archive import delivery as archive_delivery
from postwerk.archive.counters import SHARDS
from postwerk.archive.engine import Archive
from postwerk.archive.journal import Journal
from postwerk.contracts.states import ENDED, BulkState
from postwerk.rules.tokens import NO_TOKENS, Tokens

__all__ = ["BulkContent", "Contents", "SendPermission", "WorkerParts", "shard_of_process"]

if TYPE_CHECKING:
    from activities.watch import BulkWatch


ABOUT_AS_LARGE = 0.9
"""Of a message that was refused as too big: what is as large meets the same answer."""


class SendPermission:
    """Whether a bulk send may send, at most one second old: this makes hold and cancel immediate (P6)."""

    FRESH_SECONDS = 1.0
    DENIED_SECONDS = 10.0
    """A send that this process had paused is not sent meanwhile, until the archive says so itself."""

    def __init__(
        self, archive: Archive, note_changes: Callable[[Mapping[str, int]], None] | None = None
    ) -> None:
        """`note_changes` is told how often the options of each bulk send were changed, after each look."""
        self._archive = archive
        self._note_changes = note_changes
        self._seen: dict[str, tuple[BulkState | None, float]] = {}
        self._config_errors: set[str] = set()
        self._too_big: dict[str, int] = {}
        self._denied: dict[str, float] = {}
        self._asking = asyncio.Lock()

    async def may_send(self, bulk_id: str) -> bool:
        state = await self.state_of(bulk_id)
        return state in (BulkState.QUEUED, BulkState.RUNNING) and not self._is_denied(bulk_id)

    def deny(self, bulk_id: str) -> bool:
        """Send nothing more of it from this process for now; False when that was said before."""
        if self._is_denied(bulk_id):
            return False
        self._denied[bulk_id] = time.monotonic() + self.DENIED_SECONDS
        return True

    def allow(self, bulk_id: str) -> None:
        """It was released: what this process remembers of the pause is over, the archive is asked anew."""
        self._denied.pop(bulk_id, None)
        self._seen.pop(bulk_id, None)

    def _is_denied(self, bulk_id: str) -> bool:
        return bool(self._denied) and time.monotonic() < self._denied.get(bulk_id, 0.0)

    def has_config_errors(self, bulk_id: str) -> bool:
        """Whether our settings were refused for it lately, here or in another process."""
        return bulk_id in self._config_errors

    def note_config_errors(self, bulk_id: str) -> None:
        self._config_errors.add(bulk_id)

    def forget_config_errors(self, bulk_id: str) -> None:
        self._config_errors.discard(bulk_id)

    def is_too_big(self, bulk_id: str, octets: int) -> bool:
        """Whether a message about as large was refused by its relay as too big. Asks nobody."""
        refused = self._too_big.get(bulk_id) if self._too_big else None
        return refused is not None and octets >= ABOUT_AS_LARGE * refused

    def note_too_big(self, bulk_id: str, octets: int) -> None:
        self._too_big[bulk_id] = min(octets, self._too_big.get(bulk_id, octets))

    async def is_cancelled(self, bulk_id: str) -> bool:
        return await self.state_of(bulk_id) in (BulkState.CANCELLING, BulkState.CANCELLED)

    async def state_of(self, bulk_id: str) -> BulkState | None:
        if not self._is_fresh(bulk_id):
            async with self._asking:  # one asks for all who wait here
                if not self._is_fresh(bulk_id):
                    await self._look(bulk_id)
        return self._seen[bulk_id][0]

    def _is_fresh(self, bulk_id: str) -> bool:
        seen = self._seen.get(bulk_id)
        return seen is not None and time.monotonic() - seen[1] <= self.FRESH_SECONDS

    async def _look(self, bulk_id: str) -> None:
        """One question for all bulk sends that send now; one that ended is forgotten."""
        now = time.monotonic()
        async with self._archive.reading() as connection:
            found = await archive_delivery.bulk_states(connection, sorted({*self._seen, bulk_id}))
        self._seen = {known: (one.state, now) for known, one in found.items() if one.state not in ENDED}
        self._seen[bulk_id] = (found[bulk_id].state if bulk_id in found else None, now)
        self._config_errors = {known for known, one in found.items() if one.config_errors}
        self._too_big = {known: one.too_big for known, one in found.items() if one.too_big is not None}
        for known, one in found.items():
            if one.state is BulkState.PAUSED:
                self._denied.pop(known, None)
        if self._note_changes is not None:
            self._note_changes({known: one.changes for known, one in found.items()})


@dataclass(frozen=True)
class WorkerParts:
    """Everything the activities of one process share."""

    archive: Archive
    journal: Journal
    routes: Routes
    contents: Contents
    permission: SendPermission
    watch: BulkWatch
    shard: int
    stopping: StoppingOperations
    most_batches: int = 100
    """In the hands of this process at a time."""
    chance: random.Random = field(default_factory=random.Random)
    tokens: Tokens = NO_TOKENS

    def route(self, relay: str) -> Route | None:
        """To the relay of that name; None when this worker's settings do not know it."""
        return self.routes.find(relay)

    async def current(self, bulk_id: str) -> BulkContent:
        """Content and options as they were a second ago at most. Raises NotFound."""
        await self.permission.state_of(bulk_id)
        return await self.contents.of(bulk_id)


def shard_of_process(seed: int) -> int:
    return seed % SHARDS
