"""What has come back, mail by mail: taken up, read, judged, and ended together with its effects.

Any number of processes may do this at once: each takes up mails that nobody else has. A process that dies
leaves its mail to the next one; what was committed is not done again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.exc import DBAPIError

from postwerk.archive import inbound, returned
from postwerk.archive.engine import Archive
from postwerk.archive.inbound import MOST_TRIES, TakenUp
from postwerk.archive.returned import Ended
from postwerk.archive.token_secrets import load_tokens
from postwerk.contracts.inbound import Found, InboundKind, InboundState
from postwerk.inbound.reader import MailReader, ReaderDied, Unreadable
from postwerk.observe import log
from postwerk.observe.metrics.returned import worked_off
from postwerk.rules.returned import look_again_at, meaning_of
from postwerk.rules.tokens import Tokens

EVERY = timedelta(seconds=1)
"""How often is looked whether something waits."""
_SECOND_TRY = timedelta(seconds=5)
"""A mail that ended its reader is tried once more then, behind those that wait."""
_TOKENS_KNOWN = timedelta(minutes=1)
_READER_IDLE = timedelta(minutes=1)


class Processor:
    """Works off mails that came back, one at a time."""

    def __init__(
        self, archive: Archive, *, reader: MailReader | None = None, now: Callable[[], datetime] | None = None
    ) -> None:
        self._archive = archive
        self._reader = reader or MailReader()
        self._now = now or _utc_now
        self._tokens = Tokens(())
        self._tokens_until: datetime | None = None
        self._last_mail_at = self._now()
        self._arrived = asyncio.Event()

    def wake(self) -> None:
        """Something was stored just now."""
        self._arrived.set()

    async def run_forever(self, every: timedelta = EVERY) -> None:
        """No error ends it, only being cancelled does."""
        try:
            while True:
                await self._work_off_guarded()
                try:
                    await asyncio.wait_for(self._arrived.wait(), every.total_seconds())
                except TimeoutError:
                    await self._rest_reader()
                self._arrived.clear()
        finally:
            await self._reader.close()

    async def work_off(self) -> int:
        """All that is due now; answers how many mails that were."""
        done = 0
        while await self._is_any_due() and (mail := await inbound.take_up(self._archive, self._now())):
            await self._process_guarded(mail)
            self._last_mail_at = self._now()
            done += 1
        return done

    async def close(self) -> None:
        await self._reader.close()

    async def process(self, mail: TakenUp) -> Ended | None:
        """Bring one mail to its end; None when it is tried again, or somebody else has ended it."""
        found = mail.found
        try:
            found = found or await self._read(mail)
        except ReaderDied as error:
            return await self._reader_died(mail, str(error))
        except Unreadable as error:
            return await self._unparsed(mail, str(error))
        return await self._counted(self._conclude(mail, found), found.kind)

    async def _counted(self, ending: Awaitable[Ended | None], kind: str) -> Ended | None:
        ended = await ending
        if ended is not None and ended.state is not InboundState.WAITING:
            worked_off(kind, ended.state)
        return ended

    async def _read(self, mail: TakenUp) -> Found:
        if mail.tries > MOST_TRIES:
            raise Unreadable(f"reading it was begun {MOST_TRIES} times and never came to an end")
        return await self._reader.read(mail.raw)

    async def _reader_died(self, mail: TakenUp, how: str) -> Ended | None:
        if mail.tries >= 2:
            return await self._unparsed(mail, how)
        async with self._archive.writing() as connection:
            await inbound.put_back(connection, mail.id, self._now() + _SECOND_TRY)
        return None

    async def _unparsed(self, mail: TakenUp, why: str) -> Ended | None:
        log.inbound_unparsed(mail.id, why)
        return await self._counted(self._end(mail, None, Ended(InboundState.UNPARSED, why)), "unparsed")

    async def _conclude(self, mail: TakenUp, found: Found) -> Ended | None:
        now = self._now()
        meaning = meaning_of(found, mail.mail_from, mail.rcpt_to, await self._known_tokens(), now.date())
        if meaning.about is None:
            return await self._end(mail, found, Ended(InboundState.IGNORED, meaning.why))
        if found.kind is InboundKind.DELAY:
            said = Ended(InboundState.IGNORED, "a later server still tries", meaning.about)
            return await self._end(mail, found, said)
        apply = returned.apply_complaint if found.kind is InboundKind.COMPLAINT else returned.apply_bounce
        return await self._archive.at_once(
            partial(apply, mail=mail, found=found, about=meaning.about, now=now)
        )

    async def _end(self, mail: TakenUp, found: Found | None, ended: Ended) -> Ended | None:
        work = partial(returned.end_without_effect, mail=mail, found=found, ended=ended, now=self._now())
        return await self._archive.at_once(work)

    async def _known_tokens(self) -> Tokens:
        """The secrets, read again from time to time: another process may have made a new one."""
        now = self._now()
        if self._tokens_until is None or now >= self._tokens_until:
            self._tokens, self._tokens_until = await load_tokens(self._archive, now), now + _TOKENS_KNOWN
        return self._tokens

    async def _is_any_due(self) -> bool:
        async with self._archive.reading() as connection:
            return await inbound.is_any_due(connection, self._now())

    async def _rest_reader(self) -> None:
        if self._now() - self._last_mail_at > _READER_IDLE:
            await self._reader.close()

    async def _work_off_guarded(self) -> None:
        try:
            await self.work_off()
        except (DBAPIError, OSError) as error:
            log.archive_unavailable(error, waiting=0)
            await asyncio.sleep(EVERY.total_seconds())

    async def _process_guarded(self, mail: TakenUp) -> None:
        try:
            await self.process(mail)
        except (DBAPIError, OSError):
            raise
        except Exception as error:  # noqa: BLE001  a mistake of ours over one mail must not keep the others waiting
            log.inbound_failed(mail.id, error)
            later = look_again_at(mail.received_at, self._now())
            if later is None:
                await self._unparsed(mail, f"processing it ended with {type(error).__name__}")
                return
            async with self._archive.writing() as connection:
                await inbound.put_back(connection, mail.id, later)


def _utc_now() -> datetime:
    return datetime.now(UTC)
