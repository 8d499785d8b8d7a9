"""What a look at a bulk send finds in the archive: counts, lanes at rest, the next attempt, its window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from postwerk.archive import lanes
from postwerk.archive.audit import Actor
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import Refusal
from postwerk.archive.looks import look_at
from postwerk.archive.suspensions import suspend
from postwerk.contracts.orders import Look
from postwerk.contracts.windows import SendingWindow, Weekday
from postwerk.rules.cooling import Cooling
from postwerk.rules.suspending import SuspensionKind
from tests.support.queues import recount, set_message
from tests.support.seeding import a_stored_bulk_send

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
REFUSAL = Refusal("421 4.7.28 <ada@example.com> too many messages, try again", "rate_limited")
ADDRESSES = [f"u{n}@{domain}" for domain in ("gmail.com", "gmx.net") for n in range(12)]


async def look(archive: Archive, bulk_id: str) -> Look:
    async with archive.reading() as connection:
        return await look_at(connection, bulk_id, NOW)


async def test_lanes_at_rest_are_told_as_far_as_they_hold_it_up(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, ADDRESSES)
    async with archive.writing() as connection:
        for name in ("gmail.com", "yahoo.com"):  # it has nothing for the second one
            await lanes.rate_refused(connection, "default", name, REFUSAL, Cooling(), NOW)
        await lanes.rate_refused(connection, "other", "gmx.net", REFUSAL, Cooling(), NOW)
        until = NOW + timedelta(hours=3)
        actor = Actor(by="ops")
        await suspend(
            connection, SuspensionKind.PROVIDER, "gmx.net", until=until, reason="who", actor=actor, now=NOW
        )
    found = await look(archive, order.bulk_id)
    assert found.states == {"queued": 24}
    assert {rest.lane: (rest.until, rest.why) for rest in found.rests} == {
        "gmail.com": (NOW + timedelta(minutes=1), "421 4.7.28 … too … messages, try again"),
        "gmx.net": (until, "suspended by an operator"),
    }


async def test_the_next_attempt_is_told_with_its_reply_in_plain_words(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, ADDRESSES)
    for seq, minutes in ((3, 9), (14, 4)):
        at = to_microseconds(NOW + timedelta(minutes=minutes))
        said = {"last_code": 451, "last_text": "u1@gmx.net is greylisted, try again later"}
        await set_message(archive, order.bulk_id, seq, state="deferred", next_attempt_at=at, **said)
    await recount(archive, order.bulk_id)
    found = await look(archive, order.bulk_id)
    assert found.states == {"queued": 22, "deferred": 2}
    assert found.next_at == NOW + timedelta(minutes=4)
    assert found.next_lane == "gmx.net"
    assert found.next_why.startswith("451 … ")
    assert "u1@" not in found.next_why


async def test_a_closed_window_is_told_with_its_opening(archive: Archive) -> None:
    window = SendingWindow(days=(Weekday.MON,), start=9 * 60, end=17 * 60, time_zone="Europe/Berlin")
    order = await a_stored_bulk_send(archive, ADDRESSES, window=window)
    found = await look(archive, order.bulk_id)
    assert found.window_opens == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert "Europe/Berlin" in found.window


async def test_of_a_send_that_is_done_or_erased_nothing_is_asked(archive: Archive) -> None:
    order = await a_stored_bulk_send(archive, ["u1@gmx.net"])
    async with archive.writing() as connection:
        await lanes.rate_refused(connection, "default", "gmx.net", REFUSAL, Cooling(), NOW)
    await set_message(archive, order.bulk_id, 1, state="delivered")
    await recount(archive, order.bulk_id)
    found = await look(archive, order.bulk_id)
    assert (found.states, found.rests, found.next_at) == ({"delivered": 1}, (), None)
    assert (await look(archive, "bulk_nothing")).states == {}
