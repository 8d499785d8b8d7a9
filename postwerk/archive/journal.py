"""The journal: marks and outcomes of SMTP transactions, written by group commit.

One writer per process. All that arrived while the last commit ran goes into the next one, so the cost of
a commit is shared by every open connection, and still nobody goes on before their own row is durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from postwerk.archive.counters import count_moves
from postwerk.archive.engine import Archive
from postwerk.archive.given import Given
from postwerk.archive.holding import TIME_LEFT
from postwerk.archive.suppressions import HardBounce, suppress_hard_bounces
from postwerk.archive.tallies import Happened, count_happened
from postwerk.contracts.states import MessageState
from postwerk.observe.log import archive_unavailable
from postwerk.observe.metrics import journal as metrics

_MARK = Given(
    """
    UPDATE message SET state = 'sending', attempts = given.attempt, changed_at = given.at,
        possible_duplicate = (message.possible_duplicate OR given.possible_duplicate)
    FROM {given} WHERE message.bulk_id = given.bulk_id AND message.seq = given.seq
        AND message.state = given.was AND message.attempts = given.attempt - 1
        AND message.round = given.round
    RETURNING message.bulk_id, message.seq
    """,
    bulk_id="text", seq="bigint", attempt="int", at="bigint", was="text", possible_duplicate="boolean",
    round="int",
)  # fmt: skip
# What is deferred while an operator wants it held or ended becomes that; an attempt of unknown end that is to
# be ended is unknown. Held ones keep their time: what they have left of the deadline.
_STOPPED = "given.state = 'deferred' AND message.next_state IS NOT NULL"
_OUTCOME = Given(
    f"""
    UPDATE message SET
        state = CASE
            WHEN {_STOPPED} AND message.next_state <> 'held' AND given.outcome = 'ambiguous' THEN 'unknown'
            WHEN {_STOPPED} THEN message.next_state
            ELSE given.state END,
        next_attempt_at = CASE
            WHEN {_STOPPED} AND message.next_state <> 'held' THEN NULL ELSE given.next_attempt_at END,
        time_left = CASE
            WHEN {_STOPPED} AND message.next_state = 'held' THEN {TIME_LEFT.format(now="given.at")}
            ELSE message.time_left END,
        next_state = NULL,
        deferrals = given.deferrals, changed_at = given.at,
        possible_duplicate = (message.possible_duplicate OR given.possible_duplicate),
        last_reason = given.reason, last_stage = given.stage, last_code = given.code,
        last_enhanced = given.enhanced, last_text = given.reply
    FROM {{given}} WHERE message.bulk_id = given.bulk_id AND message.seq = given.seq
        AND message.state = 'sending' AND message.attempts = given.attempt
    RETURNING message.bulk_id, message.seq, message.state, message.lane
    """,
    bulk_id="text", seq="bigint", attempt="int", at="bigint", state="text", deferrals="int",
    next_attempt_at="bigint", possible_duplicate="boolean", reason="text", stage="text", code="int",
    enhanced="text", reply="text", outcome="text",
)  # fmt: skip
_ATTEMPT = Given(
    """
    INSERT INTO attempt (bulk_id, seq, number, started_at, milliseconds, outcome, reason, stage, code,
        enhanced, text, host, tls)
    SELECT bulk_id, seq, attempt, started_at, milliseconds, outcome, reason, stage, code, enhanced, reply,
        host, tls FROM {given} WHERE true ON CONFLICT DO NOTHING
    """,
    bulk_id="text", seq="bigint", attempt="int", started_at="bigint", milliseconds="int", outcome="text",
    reason="text", stage="text", code="int", enhanced="text", reply="text", host="text", tls="text",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """Message `seq` is about to be handed over in its attempt number `attempt`. `at` in microseconds."""

    bulk_id: str
    seq: int
    attempt: int
    was: MessageState
    at: int
    possible_duplicate: bool
    round: int = 0
    """Who was cancelled and started again belongs to another batch now, whoever has read it before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What attempt number `attempt` came to, and the message's state from now on. Moments in microseconds."""

    bulk_id: str
    seq: int
    attempt: int
    state: MessageState
    outcome: str
    reason: str
    at: int
    started_at: int
    milliseconds: int
    deferrals: int
    next_attempt_at: int | None
    possible_duplicate: bool
    stage: str
    code: int | None
    enhanced: str | None
    reply: str
    host: str
    tls: str
    suppress: bool = False
    """A hard bounce: its address gets no more mail."""


@dataclass(slots=True)
class _Waiting:
    entry: Mark | Outcome
    done: asyncio.Future[bool]


class Journal:
    """Write with `mark` and `record`; both answer when the row is committed.

    False means the message is no longer this writer's: cancelled, or taken over by another worker. A
    writer that comes back late (a stopped process, a lost heartbeat) so never overwrites a newer state.
    """

    def __init__(self, archive: Archive, *, shard: int) -> None:
        self._archive = archive
        self._shard = shard
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        self._writer = self._loop.create_task(self._write_forever(), name="journal")

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._arrived.set()
        if self._writer is not None:
            await self._writer

    def mark(self, mark: Mark) -> asyncio.Future[bool]:
        return self._append(mark)

    def record(self, outcome: Outcome) -> asyncio.Future[bool]:
        return self._append(outcome)

    def _append(self, entry: Mark | Outcome) -> asyncio.Future[bool]:
        done: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.append(_Waiting(entry, done))
        self._arrived.set()
        return done

    async def _write_forever(self) -> None:
        while not (self._closing and not self._waiting):
            await self._arrived.wait()
            self._arrived.clear()
            group, self._waiting = self._waiting, []
            if group:
                await self._write_group(group)

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        applied = await self._commit_until_it_works([waiting.entry for waiting in group])
        for waiting in group:
            if not waiting.done.done():  # its asker may have been cancelled; the row is written all the same
                waiting.done.set_result(
                    (type(waiting.entry), waiting.entry.bulk_id, waiting.entry.seq) in applied
                )

    async def _commit_until_it_works(self, entries: Sequence[Mark | Outcome]) -> set[tuple[type, str, int]]:
        """An outcome is never thrown away: while the archive is away, its connections wait here."""
        pause, began = 0.05, time.monotonic()
        while True:
            try:
                written = await self._archive.at_once(
                    partial(write_entries, entries=entries, shard=self._shard)
                )
            except (DBAPIError, OSError) as error:
                archive_unavailable(error, waiting=len(entries))
                metrics.failed(len(entries))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                metrics.committed(time.monotonic() - began, len(entries))
                return written


def write_entries(
    connection: Connection, entries: Sequence[Mark | Outcome], shard: int
) -> set[tuple[type, str, int]]:
    """Write marks, outcomes, attempt rows, counters and tallies in this transaction.

    Answers which were applied. The events of all this are written by triggers.
    """
    marks = {(entry.bulk_id, entry.seq): entry for entry in entries if isinstance(entry, Mark)}
    outcomes = {(entry.bulk_id, entry.seq): entry for entry in entries if isinstance(entry, Outcome)}
    moved: Counter[tuple[str, str]] = Counter()
    happened: list[Happened] = []
    applied: set[tuple[type, str, int]] = set()
    if marks:
        for bulk_id, seq in connection.execute(*_MARK.bind(connection, list(marks.values()))):
            applied.add((Mark, bulk_id, seq))
            moved[bulk_id, marks[bulk_id, seq].was] -= 1
            moved[bulk_id, MessageState.SENDING] += 1
    if outcomes:
        rows = list(outcomes.values())
        for bulk_id, seq, state, lane in connection.execute(*_OUTCOME.bind(connection, rows)):
            applied.add((Outcome, bulk_id, seq))
            moved[bulk_id, MessageState.SENDING] -= 1
            moved[bulk_id, state] += 1
            happened.append(Happened(outcomes[bulk_id, seq].at, lane, state))
        connection.execute(*_ATTEMPT.bind(connection, rows))
        if hard := [_hard_bounce(row) for row in rows if row.suppress]:
            suppress_hard_bounces(connection, hard)
    count_moves(connection, moved, shard)
    count_happened(connection, happened, shard)
    return applied


def _hard_bounce(outcome: Outcome) -> HardBounce:
    said = f"{outcome.code} {outcome.reply}" if outcome.code else outcome.reply
    return HardBounce(outcome.bulk_id, outcome.seq, outcome.reason, said, outcome.at)
