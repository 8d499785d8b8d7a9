"""What an operation does to the messages it means: one page of them in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from postwerk.archive.columns import to_microseconds
from postwerk.archive.counters import count_moves
from postwerk.archive.given import Given
from postwerk.archive.holding import EXTRA, TIME_LEFT
from postwerk.archive.moved import moved_meanwhile
from postwerk.archive.operations import Found, Operation
from postwerk.archive.tallies import Happened, count_happened
from postwerk.contracts.queue import Verb
from postwerk.contracts.states import MessageState

_MEANT = "FROM {given} WHERE message.bulk_id = given.bulk_id AND message.seq = given.seq"
_AS_FOUND = f"{_MEANT} AND message.state = given.was"
_DONE = "RETURNING message.bulk_id, message.seq, message.state"
_COLUMNS = {"bulk_id": "text", "seq": "bigint", "was": "text"}
_NOW = "CAST(:now AS bigint)"
_TOUCHED = f"changed_at = {_NOW}, operation = :operation"


def _change(what: str, which: str = _AS_FOUND) -> Given:
    return Given(f"UPDATE message SET {what}, {_TOUCHED} {which} {_DONE}", **_COLUMNS)


_RETRY = _change(f"next_attempt_at = {_NOW}", f"{_AS_FOUND} AND message.next_attempt_at > {_NOW}")
_HOLD = _change(f"state = 'held', time_left = {TIME_LEFT.format(now=_NOW)}")
# Tried before, it is due at once: it would else wait for a time that was set before it was held.
_RELEASE = _change(
    f"""state = CASE WHEN message.deferrals > 0 OR message.last_stage IS NOT NULL
            THEN 'deferred' ELSE 'queued' END,
        next_attempt_at = CASE WHEN message.deferrals > 0 OR message.last_stage IS NOT NULL
            THEN {_NOW} ELSE NULL END,
        extra = {EXTRA.format(now=_NOW)}, time_left = NULL"""
)
_END = _change("state = :becomes, next_attempt_at = NULL, time_left = NULL")
# Its attempt runs, or was cut off: what it comes to is recorded first.
_STOP_NEXT = _change("next_state = :becomes")
_GO_ON = _change("next_state = NULL", f"{_AS_FOUND} AND message.next_state = 'held'")
_START_AGAIN = _change(
    """state = 'queued', round = :round, extra = :extra, deferrals = 0, next_attempt_at = NULL,
        time_left = NULL, next_state = NULL, late = false,
        possible_duplicate = (message.possible_duplicate OR given.was = 'unknown')"""
)
_ITS_OWN = """
    source IN ('reply', 'dsn') AND bulk_id = :of AND address IN (
        SELECT lower(message.address) FROM {given}
        JOIN message ON message.bulk_id = given.bulk_id AND message.seq = given.seq
    )
"""
# Who unsubscribed before stays so: only what the bounce added is taken back.
_NARROW_SUPPRESSIONS = Given(
    f"""
    UPDATE suppression SET scope = 'bulk', reason = 'unsubscribe', source = 'recipient', detail = '',
        created_at = unsubscribed_at
    WHERE unsubscribed_at IS NOT NULL AND {_ITS_OWN}
    """,
    bulk_id="text",
    seq="bigint",
)
_FORGET_SUPPRESSIONS = Given(
    f"DELETE FROM suppression WHERE unsubscribed_at IS NULL AND {_ITS_OWN}", bulk_id="text", seq="bigint"
)
_FORGET_NOTICES = Given(
    "DELETE FROM notice WHERE bulk_id = :of AND seq IN (SELECT given.seq FROM {given})", seq="bigint"
)
_BATCHES = text("""
    SELECT number, first_seq, last_seq FROM batch
    WHERE bulk_id = :bulk_id AND lane = :lane AND round = :round
        AND last_seq >= :lowest AND first_seq <= :highest
""")
_TELL = text("""
    INSERT INTO operation_batch (operation, bulk_id, number) VALUES (:operation, :bulk_id, :number)
    ON CONFLICT DO NOTHING
""")
_BECOMES = {
    Verb.HOLD: MessageState.HELD,
    Verb.CANCEL: MessageState.CANCELLED,
    Verb.EXPIRE: MessageState.EXPIRED,
}
_WAKES = (Verb.RETRY, Verb.RELEASE, Verb.CANCEL, Verb.EXPIRE)
"""Their batches are told: something is due earlier, or nothing is open any more."""


async def change_messages(
    connection: AsyncConnection,
    op: Operation,
    found: Sequence[Found],
    *,
    now: datetime,
    shard: int,
    extra: timedelta = timedelta(0),
) -> int:
    """Do it to these messages, as they are now; answers to how many.

    One that is being sent since it was found is stopped like any other that is being sent: else it would be
    passed over, and sent again later. `extra`: retry_failed gives them so much more time than their send has.
    """
    changed: set[tuple[str, int]] = set()
    left = found
    while left:
        done = await connection.run_sync(_change_all, op, left, now, shard, extra)
        if op.verb in _WAKES:
            await _note_batches(connection, op, [one for one in left if (one.bulk_id, one.seq) in done])
        changed |= done
        left = [one for one in left if (one.bulk_id, one.seq) not in done]
        left = await connection.run_sync(moved_meanwhile, left, op.filter.state)
    return len(changed)


def _change_all(
    connection: Connection,
    op: Operation,
    found: Sequence[Found],
    now: datetime,
    shard: int,
    extra: timedelta,
) -> set[tuple[str, int]]:
    given: dict[str, Any] = {
        "now": to_microseconds(now),
        "operation": op.id,
        "becomes": _BECOMES.get(op.verb, ""),
        "round": op.round,
        "extra": extra // timedelta(microseconds=1),
    }
    moved: Counter[tuple[str, str]] = Counter()
    changed: set[tuple[str, int]] = set()
    expired: list[Happened] = []
    for statement, some in _parts(op.verb, found):
        was = {(one.bulk_id, one.seq): one.was for one in some}
        lanes = {(one.bulk_id, one.seq): one.lane for one in some}
        for bulk_id, seq, state in _run(connection, statement, some, given):
            changed.add((bulk_id, seq))
            moved[bulk_id, was[bulk_id, seq]] -= 1
            moved[bulk_id, state] += 1
            if state == MessageState.EXPIRED:
                expired.append(Happened(given["now"], lanes[bulk_id, seq], state))
    if op.verb is Verb.RETRY_FAILED:
        _forget(connection, found, changed)
    count_moves(connection, moved, shard)
    count_happened(connection, expired, shard)
    return changed


def _parts(verb: Verb, found: Sequence[Found]) -> Iterable[tuple[Given, Sequence[Found]]]:
    """What is to be done to those that are being sent, and to the others."""
    sending = [one for one in found if one.was is MessageState.SENDING]
    others = [one for one in found if one.was is not MessageState.SENDING]
    waiting, under_way = {
        Verb.RETRY: (_RETRY, None),
        Verb.HOLD: (_HOLD, _STOP_NEXT),
        Verb.RELEASE: (_RELEASE, _GO_ON),
        Verb.CANCEL: (_END, _STOP_NEXT),
        Verb.EXPIRE: (_END, _STOP_NEXT),
        Verb.RETRY_FAILED: (_START_AGAIN, None),
    }[verb]
    if others:
        yield waiting, others
    if sending and under_way:
        yield under_way, sending


def _run(
    connection: Connection, statement: Given, some: Sequence[Found], given: Mapping[str, Any]
) -> Iterable[Any]:
    clause, rows = statement.bind(
        connection, [{"bulk_id": one.bulk_id, "seq": one.seq, "was": one.was} for one in some]
    )
    wanted = clause.compile().params.keys()
    return connection.execute(clause, {**{k: v for k, v in given.items() if k in wanted}, **rows})


def _forget(connection: Connection, found: Sequence[Found], changed: set[tuple[str, int]]) -> None:
    """Who is started again is on no list because of the failure, and the sender is told of the next one."""
    some = [{"bulk_id": f.bulk_id, "seq": f.seq} for f in found if (f.bulk_id, f.seq) in changed]
    if not some:
        return
    of = {"of": found[0].bulk_id}
    for statement in (_NARROW_SUPPRESSIONS, _FORGET_SUPPRESSIONS):
        clause, rows = statement.bind(connection, some)
        connection.execute(clause, {**of, **rows})
    clause, rows = _FORGET_NOTICES.bind(connection, [*({"seq": one["seq"]} for one in some), {"seq": 0}])
    connection.execute(clause, {**of, **rows})


async def _note_batches(connection: AsyncConnection, op: Operation, changed: Sequence[Found]) -> None:
    """Their batches are to be told, which is remembered in the same transaction."""
    seqs: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
    for one in changed:
        seqs[one.bulk_id, one.lane, one.round].append(one.seq)
    rows = []
    for (bulk_id, lane, part), some in seqs.items():
        where = {"bulk_id": bulk_id, "lane": lane, "round": part, "lowest": min(some), "highest": max(some)}
        for number, first, last in await connection.execute(_BATCHES, where):
            if any(first <= seq <= last for seq in some):
                rows.append({"operation": op.id, "bulk_id": bulk_id, "number": number})
    if rows:
        await connection.execute(_TELL, rows)
