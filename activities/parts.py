"""What a worker process hands to its activities: parts that live as long as the process."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple

from activities.routes import Route, Routes
from activities.stopping import StoppingOperations
from postwerk.archive import delivery as archive_delivery
from postwerk.archive.counters import SHARDS
from postwerk.archive.engine import Archive
from postwerk.archive.journal import Journal
from postwerk.contracts.content import Content, MailIdentity
from postwerk.contracts.options import BulkOptions
from postwerk.contracts.states import ENDED, BulkState
from postwerk.errors import NotFound
from postwerk.mime.composer import Composer
from postwerk.mime.imprint import NO_IMPRINT, Imprint
from postwerk.rules.tokens import NO_TOKENS, Tokens

if TYPE_CHECKING:
    from activities.watch import BulkWatch


@dataclass(frozen=True, slots=True)
class BulkContent:
    """A bulk send as a carrier needs it: its content with the composer built for it, and its options."""

    content: Content
    options: BulkOptions
    composer: Composer
    changes: int = 0
    """How often the options had been changed."""
    bounces: BounceAddresses | None = None

    def envelope_sender(self, seq: int) -> str:
        """Where bounces of this message go: where the send says; else to an address of its own (VERP)."""
        given = self.content.return_path
        if given is not None:
            return given
        return self.content.sender.email if self.bounces is None else self.bounces.of(seq)


class BounceAddresses(NamedTuple):
    """The envelope senders of one bulk send's messages, the same on every attempt."""

    tokens: Tokens
    domain: str
    identity: MailIdentity

    def of(self, seq: int) -> str:
        accepted = self.identity.accepted_at
        local = self.tokens.bounce_local_part(self.identity.bulk_id, seq, accepted.astimezone(UTC).date())
        return f"{local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Outfit:
    """What this installation adds to each mail, and to each envelope."""

    imprint: Imprint = NO_IMPRINT
    tokens: Tokens = NO_TOKENS
    bounce_domain: str = ""
    """Empty: bounces go to the From address."""

    def bulk_content(
        self, content: Content, options: BulkOptions, identity: MailIdentity, changes: int
    ) -> BulkContent:
        composer = Composer(content, identity, self.imprint)
        bounces = BounceAddresses(self.tokens, self.bounce_domain, identity) if self.bounce_domain else None
        return BulkContent(content, options, composer, changes, bounces)


class Contents:
    """The contents in use, each loaded and compiled once; their options anew when these were changed."""

    def __init__(self, archive: Archive, keep: int = 64, outfit: Outfit | None = None) -> None:
        self._archive = archive
        self._outfit = outfit or Outfit()
        self._keep = keep
        self._known: OrderedDict[str, BulkContent] = OrderedDict()
        self._changes: Mapping[str, int] = {}

    async def of(self, bulk_id: str) -> BulkContent:
        """Raises NotFound."""
        known = self._known.get(bulk_id)
        if known is None or self.is_outdated(bulk_id, known):
            known = self._known[bulk_id] = await self._load(bulk_id, known)
            while len(self._known) > self._keep:
                self._known.popitem(last=False)
        self._known.move_to_end(bulk_id)
        return known

    def note_changes(self, changes: Mapping[str, int]) -> None:
        """How often the options of each bulk send that sends now were changed, as just read."""
        self._changes = changes

    def latest(self, bulk_id: str, bulk: BulkContent) -> BulkContent:
        """The newest that this process has read. Asks nobody."""
        return self._known.get(bulk_id, bulk)

    def is_outdated(self, bulk_id: str, bulk: BulkContent) -> bool:
        """Whether its options were changed since they were read. Asks nobody."""
        return bulk.changes < self._changes.get(bulk_id, 0)

    async def _load(self, bulk_id: str, known: BulkContent | None) -> BulkContent:
        async with self._archive.reading() as connection:
            found = None if known else await archive_delivery.bulk_content(connection, bulk_id)
            current = await archive_delivery.bulk_options(connection, bulk_id)
        if current is None:
            raise NotFound(f"The archive holds no bulk send {bulk_id}.")
        options, changes = current
        if known is not None:
            return replace(known, options=options, changes=changes)
        assert found is not None  # one view of the archive
        content, _, identity = found
        return self._outfit.bulk_content(content, options, identity, changes)


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
