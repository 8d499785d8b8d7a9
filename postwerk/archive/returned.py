"""Effects of mail that came back. Each mail ends in one transaction, together with all that follows from it.

Locks are taken in one order: the mail, its bulk send, its message, the suppression list, the counters.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, text

from postwerk.archive.columns import to_microseconds
from postwerk.archive.counters import SHARDS, count_moves
from postwerk.archive.inbound import TakenUp
from postwerk.archive.suppressions import HardBounce, suppress_hard_bounces
from postwerk.archive.tallies import COMPLAINED, LATE_BOUNCED, Happened, count_happened
from postwerk.contracts.inbound import Found, InboundState
from postwerk.contracts.states import MessageState
from postwerk.rules.returned import Verdict, look_again_at, names_another, reported_of, verdict_of, waits
from postwerk.rules.tokens import TokenOf

STAGE = "dsn"
"""Stage of an attempt's row that tells of a late bounce."""
# Whoever has let its lease run out finds it ended here, and does nothing.
_CLAIM = text("UPDATE inbound SET processed_at = :now WHERE id = :id AND state = 'waiting'")
_END = text("""
    UPDATE inbound SET state = :state, kind = :kind, found = :found, detail = :detail,
        bulk_id = :bulk_id, seq = :seq WHERE id = :id
""")
_WAIT = text("""
    UPDATE inbound SET processed_at = NULL, due_at = :due_at, kind = :kind, found = :found, detail = :detail,
        bulk_id = :bulk_id, seq = :seq WHERE id = :id
""")
_SEND = "SELECT id FROM bulk_send WHERE id = :bulk_id AND state <> 'storing'"
_LOCK_SEND = {"sqlite": text(_SEND), "postgresql": text(_SEND + " FOR UPDATE")}
_READ = """
    SELECT state, address, lane, attempts, complained_at FROM message WHERE bulk_id = :bulk_id AND seq = :seq
"""
_LOCK_MESSAGE = {"sqlite": text(_READ), "postgresql": text(_READ + " FOR UPDATE")}
_BOUNCED = text("""
    UPDATE message SET state = 'bounced', late = :yes, attempts = attempts + 1, changed_at = :now,
        last_reason = :reason, last_stage = :stage, last_code = :code, last_enhanced = :enhanced,
        last_text = :text
    WHERE bulk_id = :bulk_id AND seq = :seq AND state = 'delivered'
""")
_ATTEMPT = text("""
    INSERT INTO attempt (bulk_id, seq, number, started_at, milliseconds, outcome, reason, stage, code,
        enhanced, text, host, tls)
    VALUES (:bulk_id, :seq, :number, :now, 0, 'bounced', :reason, :stage, :code, :enhanced, :text, :host, '')
""")
_COUNT_LATE = text("UPDATE bulk_send SET late_bounces = late_bounces + 1 WHERE id = :bulk_id")
_COMPLAINED = text("UPDATE message SET complained_at = :now WHERE bulk_id = :bulk_id AND seq = :seq")
# Broader than an unsubscription, and in its place.
_SUPPRESS = text("""
    INSERT INTO suppression (address, reason, source, detail, bulk_id, created_at, scope)
    SELECT lower(message.address), 'complaint', 'complaint', '', message.bulk_id, CAST(:now AS bigint), 'all'
    FROM message WHERE message.bulk_id = :bulk_id AND message.seq = :seq
    ON CONFLICT (address) DO UPDATE SET scope = 'all', reason = 'complaint', source = 'complaint',
        bulk_id = excluded.bulk_id WHERE suppression.scope <> 'all'
""")
_COUNT_COMPLAINT = text("UPDATE bulk_send SET complaints = complaints + 1 WHERE id = :bulk_id")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a mail ended, or that it waits (`state` WAITING); `detail` is for people."""

    state: InboundState
    detail: str
    about: TokenOf | None = None


def end_without_effect(
    connection: Connection, mail: TakenUp, found: Found | None, ended: Ended, now: datetime
) -> Ended | None:
    """Nothing follows from it; None when somebody else has ended it."""
    return _end(connection, mail, found, ended) if _claim(connection, mail, now) else None


def apply_bounce(
    connection: Connection, mail: TakenUp, found: Found, about: TokenOf, now: datetime
) -> Ended | None:
    """A delivered message bounces late; None when somebody else has ended this mail."""
    if not _claim(connection, mail, now):
        return None
    message = _lock(connection, about)
    if message is None:
        ended = Ended(InboundState.IGNORED, "its bulk send or message is not there any more", about)
    elif MessageState(message.state) is MessageState.DELIVERED:
        ended = _bounce(connection, found, about, message, now)
    elif waits(MessageState(message.state)):
        return _wait(connection, mail, found, about, message.state, now)
    else:
        ended = Ended(InboundState.IGNORED, f"its message was {message.state} before", about)
    return _end(connection, mail, found, ended)


def apply_complaint(
    connection: Connection, mail: TakenUp, found: Found, about: TokenOf, now: datetime
) -> Ended | None:
    """Its recipient gets no more mail; None when somebody else has ended this mail."""
    if not _claim(connection, mail, now):
        return None
    message = _lock(connection, about)
    if message is None:
        ended = Ended(InboundState.IGNORED, "its bulk send or message is not there any more", about)
    elif message.complained_at is not None:
        ended = Ended(InboundState.IGNORED, "its recipient has complained before", about)
    else:
        where = {**about._asdict(), "now": to_microseconds(now)}
        connection.execute(_COMPLAINED, where)
        connection.execute(_COUNT_COMPLAINT, {"bulk_id": about.bulk_id})
        connection.execute(_SUPPRESS, where)
        _count(connection, message.lane, COMPLAINED, now)
        ended = Ended(InboundState.DONE, "its recipient complained, and gets no more mail", about)
    return _end(connection, mail, found, ended)


def _claim(connection: Connection, mail: TakenUp, now: datetime) -> bool:
    done = connection.execute(_CLAIM, {"id": mail.id, "now": to_microseconds(now)})
    return done.rowcount == 1


def _lock(connection: Connection, about: TokenOf) -> Row[Any] | None:
    dialect = connection.dialect.name
    if connection.execute(_LOCK_SEND[dialect], {"bulk_id": about.bulk_id}).first() is None:
        return None
    return connection.execute(_LOCK_MESSAGE[dialect], about._asdict()).one_or_none()


def _bounce(connection: Connection, found: Found, about: TokenOf, message: Row[Any], now: datetime) -> Ended:
    reported = reported_of(found, message.address)
    if reported.action != "failed":
        return Ended(
            InboundState.IGNORED, f"it says of this recipient: {reported.action or 'nothing'}", about
        )
    verdict = verdict_of(reported)
    _write_bounce(connection, about, message.attempts + 1, verdict, found.reporting_mta, now)
    _count(connection, message.lane, LATE_BOUNCED, now)
    said = f"bounced late: {verdict.reason}"
    if names_another(reported, message.address):
        said += "; it names another recipient than the message went to"
    return Ended(InboundState.DONE, said, about)


def _write_bounce(
    connection: Connection, about: TokenOf, number: int, verdict: Verdict, host: str, now: datetime
) -> None:
    at = to_microseconds(now)
    row = {
        **about._asdict(),
        "now": at,
        "yes": True,
        "number": number,
        "stage": STAGE,
        "reason": verdict.reason,
        "code": verdict.code,
        "enhanced": verdict.enhanced,
        "text": verdict.text,
        "host": host,
    }
    connection.execute(_BOUNCED, row)
    connection.execute(_ATTEMPT, row)
    connection.execute(_COUNT_LATE, {"bulk_id": about.bulk_id})
    if verdict.suppress:
        hard = HardBounce(about.bulk_id, about.seq, verdict.reason, verdict.text, at)
        suppress_hard_bounces(connection, [hard], source="dsn")
    moved: dict[tuple[str, str], int] = {
        (about.bulk_id, MessageState.DELIVERED): -1,
        (about.bulk_id, MessageState.BOUNCED): 1,
    }
    count_moves(connection, moved, os.getpid() % SHARDS)


def _count(connection: Connection, lane: str, kind: str, now: datetime) -> None:
    count_happened(connection, [Happened(to_microseconds(now), lane, kind)], os.getpid() % SHARDS)


def _wait(
    connection: Connection, mail: TakenUp, found: Found, about: TokenOf, state: str, now: datetime
) -> Ended:
    due_at = look_again_at(mail.received_at, now)
    if due_at is None:
        ended = Ended(InboundState.IGNORED, f"its message is still {state}; not waited for any longer", about)
        return _end(connection, mail, found, ended)
    ended = Ended(InboundState.WAITING, f"its message is {state}: waits for its end", about)
    connection.execute(_WAIT, {**_values(mail, found, ended), "due_at": to_microseconds(due_at)})
    return ended


def _end(connection: Connection, mail: TakenUp, found: Found | None, ended: Ended) -> Ended:
    connection.execute(_END, {**_values(mail, found, ended), "state": ended.state.value})
    return ended


def _values(mail: TakenUp, found: Found | None, ended: Ended) -> dict[str, Any]:
    about = ended.about or TokenOf("", 0)
    return {
        "id": mail.id,
        "kind": "" if found is None else found.kind.value,
        "found": None if found is None else msgspec.json.encode(found).decode(),
        "detail": ended.detail,
        **about._asdict(),
    }
