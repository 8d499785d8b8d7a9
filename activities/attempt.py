"""One attempt: compose ▸ mark ▸ hand over ▸ classify ▸ tell lane and send ▸ record."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import datetime

from activities.clock import ActivityClock
from activities.consequences import draw_consequences
from activities.measuring import count_attempt
from activities.parts import BulkContent, WorkerParts
from activities.routes import Route
from postwerk.archive.columns import to_microseconds
from postwerk.archive.delivery import DueMessage, message_state
from postwerk.archive.journal import Mark, Outcome
from postwerk.contracts.content import Recipient
from postwerk.contracts.mail import Mail
from postwerk.contracts.options import OnAmbiguous
from postwerk.contracts.orders import SendBatchInput
from postwerk.contracts.smtp import Exchange
from postwerk.contracts.states import MessageState
from postwerk.errors import ContentError
from postwerk.observe import log, tracing
from postwerk.rules.next_wait import next_wait
from postwerk.rules.providers import provider_label
from postwerk.rules.reply_class import Decision, Effect, classify
from postwerk.rules.retry_schedule import is_over, next_attempt_at
from postwerk.rules.sending_window import is_closed
from postwerk.smtp.pool import Lease

LONG_ENOUGH_TO_ASK = 0.5
"""Seconds for a connection to be ready, after which it is asked again whether the message may go."""
_CONTENT_STAGE = "content"
"""Stage of an attempt that ended before SMTP: the message could not be made."""
_STATE = {
    Effect.DELIVER: MessageState.DELIVERED,
    Effect.BOUNCE: MessageState.BOUNCED,
    Effect.FAIL: MessageState.FAILED,
    Effect.RETRY: MessageState.DEFERRED,
    Effect.WAIT: MessageState.DEFERRED,
}


@dataclass(frozen=True, slots=True)
class BatchRun:
    """One run of the SMTP-send activity: what every attempt in it shares."""

    parts: WorkerParts
    order: SendBatchInput
    bulk: BulkContent
    route: Route
    clock: ActivityClock
    chance: float = field(default_factory=random.random)
    """Spreads the waits of runs; the messages of one run stay together, and come back together."""


class Attempt:
    """The next attempt for one message; its marks and outcome go through the journal."""

    def __init__(self, run: BatchRun, message: DueMessage) -> None:
        self._run = run
        self._parts = run.parts
        self._order = run.order
        self._bulk = run.bulk
        self._clock = run.clock
        self._message = message
        self._number = message.attempts + 1
        self._was = message.state
        self._cut_off = message.state is MessageState.SENDING

    async def make(self, lease: Lease) -> Exchange | None:
        """Answers how the transaction ended, if there was one; or why there is no connection for it."""
        if self._cut_off and not await self.settle_cut_off():
            return None
        asked = time.monotonic()
        if failure := await lease.prepare():
            return failure
        if await self._is_stopped(time.monotonic() - asked):
            return None
        mark = self._mark()
        started = time.monotonic()
        try:
            mail = self._compose()
            self._insist_on_size(mail)
        except ContentError as error:
            await self._record_unmade(mark, error, started)
            return None
        return await self._hand_over(lease, mail, mark)

    async def _is_stopped(self, waited: float) -> bool:
        """A new connection may have taken its time: whoever said stop meanwhile is obeyed (P6)."""
        if await self._is_suspended() or self._is_too_late():
            return True
        if waited < LONG_ENOUGH_TO_ASK:
            return False
        bulk_id, seq = self._order.batch.bulk_id, self._message.seq
        if not await self._parts.permission.may_send(bulk_id):
            return True
        if await self._parts.stopping.stopped(bulk_id, [seq]):
            return True
        async with self._parts.archive.reading() as connection:
            return await message_state(connection, bulk_id, seq) is not self._was

    async def _is_suspended(self) -> bool:
        desk, lane, now = self._run.route.desk, self._order.batch.lane, self._clock.now()
        await desk.look(lane, now)
        return desk.suspensions.of_message(lane, self._message.address, now) is not None

    def _is_too_late(self) -> bool:
        return is_closed(self._bulk.options.window, self._clock.now())

    def _mark(self) -> asyncio.Future[bool]:
        """From its commit on a cut-off attempt is known to be ambiguous. Runs beside MAIL and RCPT."""
        self._started_at = to_microseconds(self._clock.now())
        return self._parts.journal.mark(
            Mark(
                bulk_id=self._order.batch.bulk_id,
                seq=self._message.seq,
                attempt=self._number,
                was=self._was,
                at=self._started_at,
                possible_duplicate=self._cut_off,
                round=self._order.batch.round,
            )
        )

    def _compose(self) -> Mail:
        message = self._message
        return self._bulk.composer.mail(
            Recipient(message.seq, message.address, message.name, message.variables)
        )

    def _insist_on_size(self, mail: Mail) -> None:
        """The relay refused one as large as too big: it is not asked again for each recipient."""
        if self._parts.permission.is_too_big(self._order.batch.bulk_id, mail.size):
            raise ContentError(
                f"the relay refused a mail of this send as too big; this one has {mail.size:,} octets",
                code="message_too_big",
            )

    async def _hand_over(self, lease: Lease, mail: Mail, mark: asyncio.Future[bool]) -> Exchange:
        async def ours() -> bool:
            return await asyncio.shield(mark)

        try:
            sender = self._bulk.envelope_sender(self._message.seq)
            exchange = await lease.send(sender, self._message.address, mail, ours)
        except asyncio.CancelledError:
            # Only before the dot (conversation.send says so): surely not delivered, so say that.
            stopped = Decision(Effect.WAIT, "worker_stopped")
            await self._record(stopped, said="the worker was stopped", due_now=True)
            raise
        if await mark:
            await self._conclude(self._decide(exchange), exchange, mail.size)
        return exchange

    async def _conclude(self, decision: Decision, exchange: Exchange, octets: int) -> None:
        """The outcome of a refused message depends on what becomes of its lane; it is written in any case."""
        if decision.effect is Effect.DELIVER:
            await self._record(decision, exchange)
            await draw_consequences(self._run, self._message.address, decision, exchange)
            return
        try:
            await draw_consequences(self._run, self._message.address, decision, exchange, octets)
        finally:
            await self._record(decision, exchange)
        if decision.effect is Effect.BOUNCE:
            await self._parts.watch.bounced(self._order.batch.bulk_id, self._bulk)

    def _decide(self, exchange: Exchange) -> Decision:
        decision = classify(exchange)
        code = exchange.reply.code if exchange.reply else None
        log.attempt_made(
            self._order.batch.bulk_id,
            self._message.seq,
            decision.effect,
            decision.reason,
            exchange.stage,
            code,
        )
        provider, relay = provider_label(self._order.batch.lane), self._run.route.desk.relay
        tracing.transaction(provider, relay, decision.effect, exchange, always=self._order.urgent)
        return decision

    async def _record_unmade(self, mark: asyncio.Future[bool], error: ContentError, started: float) -> None:
        if await mark:
            spent = int((time.monotonic() - started) * 1000)
            decision = Decision(Effect.FAIL, error.code)
            await self._record(decision, said=error.message, stage=_CONTENT_STAGE, milliseconds=spent)

    async def settle_cut_off(self) -> bool:
        """The last attempt has no recorded end: its worker died between mark and reply (RFC 1047).

        It is recorded as ambiguous. At least once: the message goes on, marked possible_duplicate. At
        most once: it ends unknown, and False is answered.
        """
        self._number = self._message.attempts
        self._started_at = to_microseconds(self._clock.now())
        said = "the worker ended before it had read the reply"
        recorded = await self._record(Decision(Effect.AMBIGUOUS, "worker_died"), said=said, due_now=True)
        self._number += 1
        self._was = MessageState.DEFERRED
        return recorded and self._resend

    @property
    def _resend(self) -> bool:
        return self._bulk.options.on_ambiguous is OnAmbiguous.RESEND

    async def _record(
        self,
        decision: Decision,
        exchange: Exchange | None = None,
        *,
        said: str = "",
        stage: str = "",
        milliseconds: int = 0,
        due_now: bool = False,
    ) -> bool:
        state = self._state_after(decision.effect)
        now = self._clock.now()
        counts = decision.effect in (Effect.RETRY, Effect.AMBIGUOUS) and not due_now
        deferrals = self._message.deferrals + counts
        reply = exchange.reply if exchange else None
        outcome = "ambiguous" if decision.effect is Effect.AMBIGUOUS else state.value
        recorded = await self._parts.journal.record(
            Outcome(
                bulk_id=self._order.batch.bulk_id,
                seq=self._message.seq,
                attempt=self._number,
                state=state,
                outcome=outcome,
                reason=decision.reason,
                at=to_microseconds(now),
                started_at=self._started_at,
                milliseconds=exchange.milliseconds if exchange else milliseconds,
                deferrals=deferrals,
                next_attempt_at=self._next_at(state, decision, now, deferrals, due_now),
                possible_duplicate=decision.effect is Effect.AMBIGUOUS,
                suppress=decision.suppress,
                stage=exchange.stage.value if exchange else stage or "dot",
                code=reply.code if reply else None,
                enhanced=reply.enhanced if reply else None,
                reply=reply.text if reply else (exchange.detail if exchange else said),
                host=exchange.host if exchange else "",
                tls=exchange.tls if exchange else "",
            )
        )
        if recorded:
            lane, since = self._order.batch.lane, self._bulk.accepted_at
            count_attempt(lane, outcome, decision.reason, exchange, since, now)
        return recorded

    def _state_after(self, effect: Effect) -> MessageState:
        if effect is Effect.AMBIGUOUS:
            return MessageState.DEFERRED if self._resend else MessageState.UNKNOWN
        return _STATE[effect]

    def _next_at(
        self, state: MessageState, decision: Decision, now: datetime, deferrals: int, due_now: bool
    ) -> int | None:
        """Microseconds; None for a message that is final."""
        if state is not MessageState.DEFERRED:
            return None
        if due_now:
            return to_microseconds(now)
        deadline = self._order.deadline_of(self._message.extra)
        if self._order.more_time and is_over(now, deadline):
            return to_microseconds(deadline)  # others in its batch go on; it has had its last attempt
        # The schedule may have been changed during the transaction.
        bulk = self._parts.contents.latest(self._order.batch.bulk_id, self._bulk)
        wait = next_wait(
            decision,
            bulk.options.retry,
            deferrals=deferrals,
            attempts=self._number,
            chance=self._run.chance,
            lane_waits=self._run.route.desk.state(self._order.batch.lane).cools(now),
        )
        return to_microseconds(next_attempt_at(wait, now, deadline))
