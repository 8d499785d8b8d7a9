"""Telling a sender what became of a bulk send: each notice is stored as a bulk send of its own, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from temporalio import activity

from activities.clock import ActivityClock
from activities.heartbeat import heartbeating
from activities.parts import WorkerParts
from postwerk.archive import notices
from postwerk.archive.notices import WHOLE_SEND, NewNotice
from postwerk.contracts.content import Content, MailIdentity, Recipient
from postwerk.contracts.notices import FAILED_STATES, ToldMessage, ToldSend
from postwerk.contracts.options import NotifyMode, NotifyOn
from postwerk.contracts.orders import BulkOrder
from postwerk.contracts.states import OPEN_STATES, MessageState
from postwerk.mime.composer import message_id
from postwerk.mime.digest import FailureList, delay_digest, end_digest
from postwerk.mime.dsn import status_notification
from postwerk.observe import log

PAGE = 50
"""Notices a commit: some ten milliseconds for which the journal of another bulk send waits."""
LIST_PAGE = 1000
"""Rows of the failure list read at a time."""
Ask = Callable[..., Awaitable[Sequence[ToldMessage]]]
"""A question to the archive that takes a connection, `after` and `limit`."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """How notices speak of this installation."""

    reporting_mta: str
    """The name we greet relays with."""
    api_url: str = ""
    """Where callers reach the API; empty: a path alone is named."""


class NoticeActivities:
    """Each is safe to repeat: the archive remembers what was told. They answer how many notices are new."""

    def __init__(self, parts: WorkerParts, speaker: Speaker) -> None:
        self._parts = parts
        self._speaker = speaker

    @activity.defn
    async def tell_failures(self, order: BulkOrder) -> int:
        """A delivery status notification for each failure that was not told yet."""
        async with heartbeating():
            about = await self._told_send(order.bulk_id)
            return 0 if about is None else await self._tell_each_failure(about)

    @activity.defn
    async def tell_delay(self, order: BulkOrder) -> int:
        """What is still open: one mail, or a notification for each message."""
        async with heartbeating():
            about = await self._told_send(order.bulk_id)
            if about is None or not about.notify.tells(NotifyOn.DELAY) or not about.count(*OPEN_STATES):
                return 0
            if about.notify.mode is NotifyMode.EACH:
                ask = partial(notices.untold_delays, bulk_id=about.id)
                return await self._tell_pages(about, NotifyOn.DELAY, ask)
            return await self._tell_of_delay(about)

    @activity.defn
    async def tell_end(self, order: BulkOrder) -> int:
        """What is left to tell when all is final: the digest, or the failures not yet told one by one."""
        async with heartbeating():
            about = await self._told_send(order.bulk_id)
            if about is None:
                return 0
            told = await self._tell_each_failure(about)
            return told + await self._tell_of_end(about)

    async def _told_send(self, bulk_id: str) -> ToldSend | None:
        async with self._parts.archive.reading() as connection:
            return await notices.told_send(connection, bulk_id)

    async def _tell_each_failure(self, about: ToldSend) -> int:
        if about.notify.mode is not NotifyMode.EACH or not about.notify.tells(NotifyOn.FAILURE):
            return 0
        asks = [partial(notices.untold_failures, bulk_id=about.id, state=state) for state in FAILED_STATES]
        return sum([await self._tell_pages(about, NotifyOn.FAILURE, ask) for ask in asks])

    async def _tell_of_end(self, about: ToldSend) -> int:
        """One mail: of the failures, or also when there are none. Failures told one by one need none."""
        digest = about.notify.mode is NotifyMode.DIGEST and about.notify.tells(NotifyOn.FAILURE)
        failed = digest and about.count(*FAILED_STATES) > 0
        if not failed and not about.notify.tells(NotifyOn.COMPLETION):
            return 0
        if await self._was_told(about, NotifyOn.COMPLETION):
            return 0
        async with self._parts.archive.reading() as connection:
            why = await notices.reasons(connection, about.id)
        failures = await self._failure_list(about)
        content = end_digest(about, why, failures, self._speaker.api_url)
        return await self._store(about, [NewNotice(WHOLE_SEND, NotifyOn.COMPLETION, content)])

    async def _tell_of_delay(self, about: ToldSend) -> int:
        now = ActivityClock().now()
        async with self._parts.archive.reading() as connection:
            why = await notices.reasons(connection, about.id, (MessageState.DEFERRED,))
        content = delay_digest(about, why, now, self._speaker.api_url)
        return await self._store(about, [NewNotice(WHOLE_SEND, NotifyOn.DELAY, content)])

    async def _failure_list(self, about: ToldSend) -> FailureList:
        """As many as fit, read in pages: none of them holds the archive for long."""
        failures = FailureList()
        for state in FAILED_STATES:
            ask = partial(notices.failed_messages, bulk_id=about.id, state=state)
            async for page in self._pages(ask, LIST_PAGE):
                failures.add(page)
                if failures.full:
                    return failures
        return failures

    async def _pages(self, ask: Ask, size: int) -> AsyncIterator[Sequence[ToldMessage]]:
        """What `ask` answers, page by page, until one is not full."""
        after, more = 0, True
        while more:
            async with self._parts.archive.reading() as connection:
                page = await ask(connection, after=after, limit=size)
            yield page
            more = len(page) == size
            after = page[-1].seq if page else after

    async def _tell_pages(self, about: ToldSend, kind: NotifyOn, ask: Ask) -> int:
        told = 0
        async for page in self._pages(ask, PAGE):
            new = [NewNotice(one.seq, kind, await self._notification(about, one)) for one in page]
            told += await self._store(about, new)
        return told

    async def _notification(self, about: ToldSend, message: ToldMessage) -> Content:
        bulk = await self._parts.contents.of(about.id)
        await asyncio.sleep(0)  # what follows renders the message: the others of this worker get their turn
        recipient = Recipient(message.seq, message.address, message.name, message.variables)
        identity = MailIdentity(about.id, about.accepted_at)
        domain = about.content.sender.email.rpartition("@")[2]
        return status_notification(
            about,
            message,
            original=bulk.composer.identifying_headers(recipient),
            message_id=message_id(identity, message.seq, domain),
            reporting_mta=self._speaker.reporting_mta,
        )

    async def _was_told(self, about: ToldSend, kind: NotifyOn) -> bool:
        async with self._parts.archive.reading() as connection:
            return await notices.was_told(connection, about.id, WHOLE_SEND, kind)

    async def _store(self, about: ToldSend, new: Sequence[NewNotice]) -> int:
        """In one commit: the notices, and that they were told."""
        if not new:
            return 0
        now = ActivityClock().now()
        async with self._parts.archive.writing() as connection:
            told = sum([await notices.store_notice(connection, about, one, now) for one in new])
        if told:
            log.sender_told(about.id, new[0].kind, told)
        return told
