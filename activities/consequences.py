"""What a decision means beyond its recipient: for the lane, and for the bulk send."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from postwerk.archive.lanes import Refusal
from postwerk.contracts.smtp import Exchange
from postwerk.observe import log
from postwerk.rules.reply_class import BulkEffect, Decision, Effect, LaneEffect
from postwerk.rules.reply_words import plain_words

if TYPE_CHECKING:
    from activities.attempt import BatchRun


async def draw_consequences(
    run: BatchRun, address: str, decision: Decision, exchange: Exchange, octets: int = 0
) -> None:
    """Tell the lane's desk and the send's watch; when that cannot be done now, the next reply does it."""
    try:
        await _tell(run, address, decision, exchange, octets)
    except (SQLAlchemyError, OSError, RPCError) as error:
        log.consequence_not_drawn(run.order.batch.lane, decision.reason, error)


async def _tell(run: BatchRun, address: str, decision: Decision, exchange: Exchange, octets: int) -> None:
    batch, desk, watch = run.order.batch, run.route.desk, run.parts.watch
    desk.attempted(batch.lane)
    if decision.effect is Effect.DELIVER:
        await desk.went_through(batch.lane, address, run.clock.now())
        await watch.went_through(batch.bulk_id, batch.lane)
        return
    if decision.lane is LaneEffect.SLOW:
        await desk.refused(batch.lane, address, refusal_of(decision, exchange), run.clock.now())
    elif decision.lane is LaneEffect.SUSPECT:
        refusal = refusal_of(decision, exchange)
        soon = min(desk.cooling.first, run.bulk.options.retry.initial)
        await desk.suspected(batch.lane, address, replace(refusal, cool_for=soon), run.clock.now())
    if decision.bulk is BulkEffect.CONFIG:
        await watch.our_fault(batch.bulk_id, batch.lane, run.bulk, config_words(decision, exchange))
    elif decision.bulk is BulkEffect.TOO_BIG:
        await watch.too_big(batch.bulk_id, octets, config_words(decision, exchange))


def refusal_of(decision: Decision, exchange: Exchange) -> Refusal:
    return Refusal(said(exchange), decision.reason, decision.cool_for, decision.hint)


def said(exchange: Exchange) -> str:
    """The server's words with their code, or what happened instead."""
    reply = exchange.reply
    return f"{reply.code} {reply.text}" if reply else exchange.detail


def config_words(decision: Decision, exchange: Exchange) -> str:
    """Why our settings were refused, in words that may stand in a history (P7)."""
    return f"{decision.reason} at {exchange.stage}: {plain_words(said(exchange))}"
