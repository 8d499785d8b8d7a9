"""What the page asks of the archive, on both databases."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, text

from postwerk.archive import page_sessions
from postwerk.archive.annotations import annotations_since
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.engine import Archive
from postwerk.archive.failures import failed_replies
from postwerk.archive.outbox_tables import EventRow
from postwerk.archive.page_sessions import session_digest
from postwerk.archive.queue_filter import sends_in_question
from postwerk.archive.queue_totals import queue_totals
from postwerk.archive.send_history import deeds, planned_lanes
from postwerk.archive.send_pages import SendCursor, send_page
from postwerk.archive.tables import AttemptRow
from postwerk.contracts.queue import QueueFilter
from postwerk.contracts.states import MessageState
from tests.support.keys import a_key
from tests.support.queues import NOW, an_assorted_queue, set_send
from tests.support.seeding import a_stored_bulk_send

STEP = timedelta(seconds=10)


async def test_the_figures_are_those_of_the_counters(archive: Archive) -> None:
    await an_assorted_queue(archive)
    async with archive.reading() as connection:
        found = await queue_totals(connection)
        sends = await sends_in_question(connection, QueueFilter(), NOW)
    wanted: Counter[MessageState] = Counter()
    for send in sends:
        wanted.update({state: n for state, n in send.counts.items() if state in found.states})
    assert found.states == +wanted
    assert found.total > found.paused > 0
    assert found.oldest_at == min(send.accepted_at for send in sends if send.accepted_at)
    assert not found.all_paused


async def test_pages_show_every_send_once_the_live_ones_first(archive: Archive) -> None:
    ids = [(await a_stored_bulk_send(archive, ["ada@example.com"])).bulk_id for _ in range(5)]
    for bulk_id in (ids[0], ids[3]):
        await set_send(archive, bulk_id, state="completed")
    seen, after = [], None
    async with archive.reading() as connection:
        while True:
            page = await send_page(connection, limit=2, after=after)
            seen += [send.id for send in page.sends]
            if (after := page.next) is None:
                break
        none = await send_page(connection, limit=2, after=SendCursor(True, ids[0]))
    assert seen == [ids[4], ids[2], ids[1], ids[3], ids[0]]
    assert none.sends == []


async def test_annotations_are_orders_and_rests_of_the_time(archive: Archive) -> None:
    async with archive.writing() as connection:
        for back, action in [
            (60, "bulk.pause"),
            (3, "bulk.change"),
            (2, "suppression.add"),
            (1, "bulk.resume"),
        ]:
            at = NOW - timedelta(minutes=back)
            await write_audit(connection, Actor("ada"), action, at=at, target="x", details={"rate": [1, 2]})
        await connection.execute(
            insert(EventRow), [_event(NOW, "lane.cooling", name="gmx.net", reason="rate")]
        )
    async with archive.reading() as connection:
        found = await annotations_since(connection, NOW - timedelta(minutes=5))
    assert [(annotation.what, annotation.target) for annotation in found] == [
        ("bulk.change", "x"), ("bulk.resume", "x"), ("lane.cooling", "gmx.net"),
    ]  # fmt: skip
    assert found[0].changed == ("rate",)


def _event(at: datetime, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "at": at,
        "type": kind,
        "seq": 0,
        "bulk_id": "",
        "attempt": 0,
        "xid": 0,
        "reason": "",
        "name": "",
    } | more


async def test_failed_replies_are_read_along_the_outbox_each_once(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, ["ada@gmx.de", "bob@gmx.de"])).bulk_id
    attempts = [
        {
            "bulk_id": bulk_id, "seq": 1, "number": number, "started_at": NOW, "outcome": "deferred",
            "stage": "rcpt", "reason": "greylisted", "code": 450, "enhanced": "4.2.0",
            "text": f"later {number}", "milliseconds": 1,
        }
        for number in (1, 2)
    ]  # fmt: skip
    first = [
        _event(NOW, "message.deferred", bulk_id=bulk_id, seq=1, attempt=1),
        _event(NOW, "message.delivered", bulk_id=bulk_id, seq=2, attempt=1),
        _event(NOW - timedelta(hours=2), "message.deferred", bulk_id=bulk_id, seq=1, attempt=1),
    ]
    async with archive.writing() as connection:
        await connection.execute(insert(AttemptRow), attempts)
        await connection.execute(insert(EventRow), first)
    since = NOW - timedelta(hours=1)
    async with archive.reading() as connection:
        found = await failed_replies(connection, 0, since)
    [reply] = found.found
    assert (reply.code, reply.lane, reply.text, reply.message_id) == (
        450,
        "gmx.net",
        "later 1",
        f"{bulk_id}.1",
    )

    async with archive.writing() as connection:
        await connection.execute(
            insert(EventRow), [_event(NOW, "message.deferred", bulk_id=bulk_id, seq=1, attempt=2)]
        )
    async with archive.reading() as connection:
        later = await failed_replies(connection, found.reached, since)
        nothing = await failed_replies(connection, later.reached, since)
    assert [one.text for one in later.found] == ["later 2"]
    assert (later.left_out, nothing.found) == (0, [])


async def test_a_send_knows_its_deeds_and_its_plan(archive: Archive) -> None:
    bulk_id = (await a_stored_bulk_send(archive, [f"u{n}@gmail.com" for n in range(12)])).bulk_id
    async with archive.writing() as connection:
        await write_audit(connection, Actor("ada"), "bulk.pause", at=NOW, target=bulk_id, reason="why")
        await write_audit(connection, Actor("ada"), "bulk.pause", at=NOW, target="another")
        begun = _event(NOW + STEP, "bulk_send.started", bulk_id=bulk_id)
        of_an_address = _event(NOW + STEP, "suppression.created", bulk_id=bulk_id)
        await connection.execute(insert(EventRow), [begun, of_an_address])
    async with archive.reading() as connection:
        found = await deeds(connection, bulk_id)
        lanes = await planned_lanes(connection, bulk_id)
    told = {("bulk_send.started", ""), ("bulk_send.accepted", ""), ("bulk.pause", "ada")}
    assert {(deed.what, deed.by) for deed in found} == told
    assert [deed.at for deed in found] == sorted((deed.at for deed in found), reverse=True)
    assert lanes == [("gmail.com", 12)]


async def test_a_session_is_stored_by_its_digest_and_ended_ones_are_forgotten(archive: Archive) -> None:
    now, key = datetime.now(UTC), (await a_key(archive, "read")).key
    async with archive.writing() as connection:
        await page_sessions.begin_session(connection, "old", key, now=now - STEP, until=now)
        await page_sessions.begin_session(connection, "new", key, now=now, until=now + STEP)
        stored = list((await connection.execute(text("SELECT digest FROM page_session"))).scalars())
        assert stored == [session_digest("new")]
        found = await page_sessions.page_session(connection, session_digest("new"))
        assert found is not None
        assert found.holds(now)
        assert not found.holds(now + STEP)
        await page_sessions.end_session(connection, session_digest("new"))
        assert await page_sessions.page_session(connection, session_digest("new")) is None
