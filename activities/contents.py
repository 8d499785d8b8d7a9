"""The contents that a worker process has in use: loaded once a send, files and all, kept within bounds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from activities.outfit import BounceAddresses, Outfit
from postwerk.archive import delivery as archive_delivery
from postwerk.archive.blobs import sound, stored_files
from postwerk.archive.engine import Archive
from postwerk.contracts.content import Content, MailIdentity
from postwerk.contracts.options import BulkOptions
from postwerk.errors import NotFound
from postwerk.mime.composer import Composer
from postwerk.mime.imprint import Imprint

MOST_OCTETS = 128 * 1024 * 1024
"""Of encoded files that are kept for sends that may come back; one send's own always are."""


@dataclass(frozen=True, slots=True)
class BulkContent:
    """A bulk send as a carrier needs it: its content with the composer built for it, and its options."""

    content: Content
    options: BulkOptions
    composer: Composer
    changes: int = 0
    """How often the options had been changed."""

    bounces: BounceAddresses | None = None
    accepted_at: datetime | None = None
    """When it was accepted, or began if that was to be later; None: nobody said."""

    def envelope_sender(self, seq: int) -> str:
        """Where bounces of this message go: where the send says; else to an address of its own (VERP)."""
        given = self.content.return_path
        if given is not None:
            return given
        return self.content.sender.email if self.bounces is None else self.bounces.of(seq)


class Contents:
    """The contents in use, each loaded and compiled once; their options anew when these were changed."""

    def __init__(
        self,
        archive: Archive,
        keep: int = 64,
        most_octets: int = MOST_OCTETS,
        outfit: Outfit | None = None,
    ) -> None:
        self._archive = archive
        self._outfit = outfit or Outfit()
        self._keep = keep
        self._most_octets = most_octets
        self._loading: dict[str, asyncio.Lock] = {}
        self._known: OrderedDict[str, BulkContent] = OrderedDict()
        self._changes: Mapping[str, int] = {}

    async def of(self, bulk_id: str) -> BulkContent:
        """Raises NotFound."""
        known = self._known.get(bulk_id)
        if known is None or self.is_outdated(bulk_id, known):
            known = await self._load_once(bulk_id)
        self._known.move_to_end(bulk_id)
        return known

    async def _load_once(self, bulk_id: str) -> BulkContent:
        """Many batches begin together: one of them loads, and the others find what it has loaded."""
        async with self._loading.setdefault(bulk_id, asyncio.Lock()):
            try:
                known = self._known.get(bulk_id)
                if known is None or self.is_outdated(bulk_id, known):
                    known = self._known[bulk_id] = await self._load(bulk_id, known)
                    self._forget_oldest()
                return known
            finally:
                self._loading.pop(bulk_id, None)

    def _forget_oldest(self) -> None:
        """Never the newest. What is forgotten lives on as long as a batch works with it."""
        octets = sum(known.composer.shared_octets for known in self._known.values())
        while len(self._known) > 1 and (len(self._known) > self._keep or octets > self._most_octets):
            _, gone = self._known.popitem(last=False)
            octets -= gone.composer.shared_octets

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
        composer = await self._composer(content, identity)
        return BulkContent(
            content, options, composer, changes, self._outfit.bounces(identity), identity.accepted_at
        )

    async def _composer(self, content: Content, identity: MailIdentity) -> Composer:
        """With its files, hashed and encoded beside the event loop, if there are any."""
        if not any(one.blob for one in content.attachments):
            return Composer(content, identity, self._outfit.imprint)
        async with self._archive.reading() as connection:
            files = await stored_files(connection, content)
        return await asyncio.to_thread(_composed, content, identity, self._outfit.imprint, files)


def _composed(
    content: Content, identity: MailIdentity, imprint: Imprint, files: dict[str, bytes | None]
) -> Composer:
    return Composer(content, identity, imprint, sound(files))
