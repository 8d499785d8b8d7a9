"""Stopping a bad send by itself: settings that every server refuses, or too many bounces."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.service import RPCError

from activities.parts import BulkContent, SendPermission
from postwerk.archive import bulks
from postwerk.archive.counters import counts_of
from postwerk.archive.engine import Archive
from postwerk.archive.outbox_writing import write_threshold
from postwerk.contracts.options import AutoPause
from postwerk.contracts.orders import HoldSignal
from postwerk.contracts.states import MessageState
from postwerk.observe import log
from postwerk.observe.metrics.sending import PAUSES

LOOK_SECONDS = 0.2


class BulkWatch:
    """Counts what speaks against a bulk send and has its workflow hold it; an operator releases it."""

    def __init__(self, archive: Archive, permission: SendPermission) -> None:
        self._archive = archive
        self._permission = permission
        self._on_lane: Counter[tuple[str, str]] = Counter()
        """Failures of our own settings in a row, per bulk send and lane."""
        self._looked: dict[str, float] = {}

    async def our_fault(self, bulk_id: str, lane: str, bulk: BulkContent, words: str) -> None:
        """Our settings or our sender were refused; the tenth time in a row pauses the send."""
        self._on_lane[bulk_id, lane] += 1
        async with self._archive.writing() as connection:
            in_a_row = await bulks.count_config_error(connection, bulk_id)
        self._permission.note_config_errors(bulk_id)
        most = bulk.options.max_consecutive_config_errors
        if max(in_a_row, self._on_lane[bulk_id, lane]) >= most:
            self._on_lane[bulk_id, lane] = 0
            await self._stop(bulk_id, "max_consecutive_config_errors", f"{most} times in a row {words}")

    async def went_through(self, bulk_id: str, lane: str) -> None:
        """A message was taken: the settings are good."""
        if self._on_lane:
            self._on_lane.pop((bulk_id, lane), None)
        if self._permission.has_config_errors(bulk_id):
            self._permission.forget_config_errors(bulk_id)
            async with self._archive.writing() as connection:
                await bulks.clear_config_errors(connection, bulk_id)

    async def too_big(self, bulk_id: str, octets: int, words: str) -> None:
        """None of its messages as large is tried again, by any worker: the answer would be the same."""
        async with self._archive.writing() as connection:
            await bulks.note_too_big(connection, bulk_id, octets, words)
        self._permission.note_too_big(bulk_id, octets)

    async def bounced(self, bulk_id: str, bulk: BulkContent) -> None:
        """One more bounce; looks at the counters five times a second at most."""
        rule = bulk.options.auto_pause
        now = time.monotonic()
        if rule is None or now - self._looked.get(bulk_id, 0.0) < LOOK_SECONDS:
            return
        self._looked[bulk_id] = now
        try:
            async with self._archive.reading() as connection:
                counts = await counts_of(connection, bulk_id)
                since = await bulks.watched_from(connection, bulk_id)
            if words := too_many_bounces(rule, counts, since):
                await self._stop(bulk_id, "auto_pause", words)
        except (SQLAlchemyError, OSError, RPCError) as error:
            log.consequence_not_drawn("", "auto_pause", error)  # the next bounce looks again

    async def _stop(self, bulk_id: str, threshold: str, words: str) -> None:
        """Pause it at once in this process; for all others as soon as the workflow has recorded it."""
        reason = f"paused by itself: {words}"
        if self._permission.deny(bulk_id):
            async with self._archive.writing() as connection:
                await write_threshold(connection, bulk_id, threshold, words, datetime.now(UTC))
            log.bulk_paused(bulk_id, reason)
            PAUSES.inc()
            root = (activity.info().workflow_id or "").partition("/")[0]
            await activity.client().get_workflow_handle(root).signal("hold", HoldSignal(reason=reason))


def too_many_bounces(
    rule: AutoPause, counts: Mapping[MessageState, int], since: Mapping[MessageState, int]
) -> str:
    """What speaks for a pause, in words; empty when nothing does. Only what came after `since` counts."""
    bounced, delivered = (
        counts.get(state, 0) - since.get(state, 0) for state in (MessageState.BOUNCED, MessageState.DELIVERED)
    )
    sent = bounced + delivered
    if sent < rule.min_sent or bounced <= rule.bounce_rate * sent:
        return ""
    return f"{bounced:,} of {sent:,} bounced, more than {rule.bounce_rate:.1%}"
