"""What a crash leaves between archive and Temporal is found and mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.reconciler import Reconciler, reconcile_forever
from postwerk.archive import idempotency, reads
from postwerk.archive.engine import Archive
from postwerk.archive.idempotency import Name
from postwerk.rules.idempotency import kept_until
from tests.support.api import Door, a_bulk_send, open_door


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


async def _look(door: Door, *, later: timedelta = timedelta(minutes=1)) -> None:
    await Reconciler(door.archive, door.parts.client, "postwerk").look(datetime.now(UTC) + later)


async def _set(door: Door, assignment: str) -> None:
    async with door.archive.writing() as connection:
        await connection.exec_driver_sql(f"UPDATE bulk_send SET {assignment}")


async def _count(door: Door, table: str) -> int:
    async with door.archive.reading() as connection:
        return int((await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one())


async def test_a_send_stored_while_temporal_was_away_is_started_with_its_plan(door: Door) -> None:
    door.temporal.away = True
    taken = (await door.send()).json()
    await _look(door)  # still away: nothing breaks
    door.temporal.away = False

    await _look(door, later=timedelta(seconds=2))
    assert not door.temporal.started, "the call that stored it may be starting it right now"
    await _look(door)

    order = door.temporal.started[taken["workflow_id"]]
    assert (order.messages, len(order.batches or ())) == (1, 1)
    assert order.deadline == timedelta(days=5)


async def test_a_send_whose_workflow_was_lost_goes_on_with_what_is_left_of_its_time(
    door: Door,
) -> None:
    taken = (await door.send()).json()
    await _set(door, "state = 'running', started_at = accepted_at")
    door.temporal.started.clear()

    await _look(door, later=timedelta(days=2))

    left = door.temporal.started[taken["workflow_id"]].deadline
    assert timedelta(days=2, hours=23) < left < timedelta(days=3, hours=1)


async def test_a_cancel_that_temporal_did_not_hear_is_repeated(door: Door) -> None:
    taken = (await door.send()).json()
    door.temporal.away = True
    answer = await door.http.post(f"/v1/bulk-sends/{taken['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelling")
    door.temporal.away = False

    await _look(door)

    assert door.temporal.cancelled == [taken["workflow_id"]]


async def test_a_cancelled_send_without_workflow_is_closed_in_the_archive(door: Door) -> None:
    door.temporal.away = True
    bulk_id = (await door.send(recipients=[{"to": f"u{n}@example.com"} for n in range(3)])).json()["id"]
    await door.http.post(f"/v1/bulk-sends/{bulk_id}/cancel")
    async with door.archive.writing() as connection:  # one was at its dot when everything went down
        await connection.exec_driver_sql("UPDATE message SET state = 'sending' WHERE seq = 2")
        await connection.exec_driver_sql("UPDATE counter SET n = 2 WHERE state = 'queued'")
        await connection.exec_driver_sql(
            f"INSERT INTO counter (bulk_id, state, shard, n) VALUES ('{bulk_id}', 'sending', 3, 1)"
        )
    door.temporal.away = False

    await _look(door)

    async with door.archive.reading() as connection:
        found = await reads.accounting(connection, bulk_id)
    assert (found["state"], found["adds_up"]) == ("cancelled", True)
    assert found["counted"] == {"cancelled": 2, "unknown": 1}


async def test_a_send_whose_workflow_was_terminated_ends_cancelled_in_two_looks(door: Door) -> None:
    taken = (await door.send()).json()
    await _set(door, "state = 'running', started_at = accepted_at")
    door.temporal.terminated.add(taken["workflow_id"])

    seen = []
    for _ in range(2):
        await _look(door)
        view = (await door.http.get(f"/v1/bulk-sends/{taken['id']}")).json()
        seen.append((view["state"], view["reason"], view["counts"]["cancelled"]))

    reason = "its workflow was terminated"
    assert seen == [("cancelling", reason, 0), ("cancelled", reason, 1)]


async def test_what_was_broken_off_while_storing_is_erased_after_an_hour(door: Door) -> None:
    await door.send(recipients=[{"to": f"u{n}@example.com"} for n in range(2500)])
    await _set(door, "state = 'storing'")
    assert (await door.http.get("/v1/bulk-sends")).json()["data"] == []

    await _look(door, later=timedelta(minutes=50))
    assert await _count(door, "message") == 2500
    await _look(door, later=timedelta(minutes=61))

    assert [await _count(door, table) for table in ("bulk_send", "message", "counter")] == [0, 0, 0]


async def test_the_reconciler_outlives_an_archive_that_is_away(door: Door) -> None:
    await door.send()
    await _set(door, "state = 'queued'")
    door.temporal.started.clear()
    async with door.archive.writing() as connection:
        await connection.exec_driver_sql("ALTER TABLE bulk_send RENAME TO elsewhere")

    going = asyncio.create_task(
        reconcile_forever(door.archive, door.parts.client, "postwerk", every=timedelta(milliseconds=10))
    )
    await asyncio.sleep(0.1)
    assert not going.done()
    async with door.archive.writing() as connection:
        await connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO bulk_send")
        await connection.exec_driver_sql("UPDATE bulk_send SET accepted_at = accepted_at - 60000000")
    for _ in range(100):
        if door.temporal.started:
            break
        await asyncio.sleep(0.05)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)  # while the archive is still open

    assert door.temporal.started


async def test_answers_are_kept_for_a_day_and_for_a_later_send_until_a_day_after(door: Door) -> None:
    for number in range(450):
        async with door.archive.writing() as connection:
            name = Name("", f"old-{number}")
            await idempotency.claim(connection, name, "f", "r", "h", door.parts.now() - timedelta(days=2))
    await door.http.post("/v1/bulk-sends", json=a_bulk_send(), headers={"Idempotency-Key": "young"})
    async with door.archive.writing() as connection:
        await idempotency.claim(connection, Name("", "later"), "f", "r", "h", door.parts.now())
        await idempotency.complete(
            connection,
            Name("", "later"),
            "h",
            status=202,
            answer="{}",
            headers={},
            keep_until=kept_until(door.parts.now(), [door.parts.now() + timedelta(days=3)]),
        )

    await _look(door)
    assert await _count(door, "idempotency") == 2
    await _look(door, later=timedelta(days=2))
    async with door.archive.reading() as connection:
        assert await idempotency.remembered(connection, Name("", "young")) is None
        assert await idempotency.remembered(connection, Name("", "later")) is not None
    await _look(door, later=timedelta(days=5))
    assert await _count(door, "idempotency") == 0


async def test_a_key_is_new_again_when_its_time_is_over(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def call(**changes: Any) -> Any:
        return await door.http.post(
            "/v1/bulk-sends", json=a_bulk_send(**changes), headers={"Idempotency-Key": "a"}
        )

    first = await call()
    monkeypatch.setattr(door.parts, "now", lambda: datetime.now(UTC) + timedelta(hours=23))
    assert (await call()).content == first.content
    assert (await call(subject="another")).status_code == 422
    monkeypatch.setattr(door.parts, "now", lambda: datetime.now(UTC) + timedelta(hours=25))
    assert (await call(subject="another")).status_code == 202
