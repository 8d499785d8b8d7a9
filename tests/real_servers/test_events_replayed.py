"""Whatever writers do in whatever order: the events are the changes of state, no more and no fewer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from postwerk.archive import delivery
from postwerk.archive.engine import Archive
from postwerk.archive.journal import write_entries
from postwerk.archive.operation_runs import carry_out_page
from postwerk.archive.operations import next_page, store_operation
from postwerk.archive.suppressions import NewSuppression, add_suppressions, settle_suppressed
from postwerk.contracts.orders import BatchOrder
from postwerk.contracts.queue import QueueFilter, Verb
from postwerk.contracts.states import FINAL_STATES, MessageState
from tests.real_servers.test_journal import a_mark, an_outcome
from tests.real_servers.test_operations import an_operation
from tests.support.events import all_events
from tests.support.seeding import a_stored_bulk_send

NOW = datetime.now(UTC) + timedelta(days=1)
SEQS = range(1, 9)
STEPS = 60
NOT_SENT = {*FINAL_STATES, MessageState.HELD}
_OUTCOMES = ["delivered", "deferred", "deferred", "bounced", "failed", "unknown"]

States = dict[int, tuple[str, int]]
"""State and attempts by seq."""


class Walk:
    """One writer after the other, by chance."""

    def __init__(self, archive: Archive, bulk_id: str, batch: BatchOrder, chance: Random) -> None:
        self.archive = archive
        self.bulk_id = bulk_id
        self.batch = batch
        self.chance = chance

    async def states(self) -> States:
        async with self.archive.reading() as connection:
            rows = await connection.execute(text("SELECT seq, state, attempts FROM message ORDER BY seq"))
            return {seq: (state, attempts) for seq, state, attempts in rows}

    async def step(self, states: States) -> None:
        writers: list[Callable[[States], Coroutine[Any, Any, None]]] = [
            *[self.attempt] * 12, self.operate, self.operate, self.suppress, self.expire,
        ]  # fmt: skip
        await self.chance.choice(writers)(states)

    async def attempt(self, states: States) -> None:
        """Who is being sent comes to an outcome; everybody else is marked, if that may be."""
        entries: list[Any] = []
        for seq in self.chance.sample(SEQS, 3):
            state, attempts = states[seq]
            if state == MessageState.SENDING:
                becomes = self.chance.choice(_OUTCOMES)
                reason = self.chance.choice(["greylisted", "mailbox_full"])
                entries.append(
                    an_outcome(self.bulk_id, seq, attempts, state=becomes, outcome=becomes, reason=reason)
                )
            else:
                entries.append(a_mark(self.bulk_id, seq, attempts + 1, MessageState(state)))
        open_marks = [one for one in entries if getattr(one, "was", None) not in NOT_SENT]
        await self.archive.at_once(lambda connection: write_entries(connection, open_marks, 1))

    async def operate(self, _states: States) -> None:
        verb = self.chance.choice([Verb.HOLD, Verb.RELEASE, Verb.RELEASE, Verb.CANCEL, Verb.EXPIRE])
        ids = tuple(f"{self.bulk_id}.{seq}" for seq in self.chance.sample(SEQS, 2))
        op = an_operation(verb, QueueFilter(ids=ids))
        async with self.archive.writing() as connection:
            await store_operation(connection, op)
            await carry_out_page(connection, op, await next_page(connection, op), now=NOW, shard=1)

    async def suppress(self, _states: States) -> None:
        seq = self.chance.choice(SEQS)
        async with self.archive.writing() as connection:
            entry = NewSuppression(f"a{seq}@example.com", "manual")
            await add_suppressions(connection, [entry], source="api", now=NOW)
            await settle_suppressed(connection, self.bulk_id, [seq], NOW, 1)

    async def expire(self, _states: States) -> None:
        async with self.archive.writing() as connection:
            await delivery.expire_some(connection, self.bulk_id, [self.chance.choice(SEQS)], NOW, 1)


def told_of(before: States, after: States) -> list[tuple[int, str]]:
    """What is to be told of this change, by the documentation."""
    return [
        (seq, state)
        for seq, (state, _) in after.items()
        if state != before[seq][0]
        and (state in FINAL_STATES or (state == "deferred" and before[seq][0] != "held"))
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_events_are_the_changes_of_state(archive: Archive, seed: int) -> None:
    order = await a_stored_bulk_send(archive, [f"a{seq}@example.com" for seq in SEQS], recipients_per_child=8)
    assert order.batches is not None
    walk = Walk(archive, order.bulk_id, order.batches[0], Random(seed))
    states = await walk.states()
    expected: list[tuple[int, str]] = []
    for _ in range(STEPS):
        await walk.step(states)
        after = await walk.states()
        expected += sorted(told_of(states, after))
        states = after
    found: list[tuple[int, str]] = []
    for event in await all_events(archive):
        about, _, state = event.type.partition(".")
        if about == "message":
            found.append((int(event.data["message_id"].rpartition(".")[2]), state))
    assert sorted(found) == sorted(expected)
    last = {seq: state for seq, state in found if state != "deferred"}
    assert last == {seq: state for seq, (state, _) in states.items() if state in FINAL_STATES}
    assert len({state for _, state in found}) >= 4, "the walk goes nowhere"
