"""GET /metrics: where the queue stands, who may ask, and that a path with an address is not told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import text

from api.dependencies import ApiConfig
from api.standing import StandingMemory
from postwerk.archive import lanes
from postwerk.archive.audit import Actor
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import RELAY, Refusal
from postwerk.archive.queue_figures import queue_figures
from postwerk.archive.suspensions import suspend
from postwerk.observe.metrics.queue import QueueFigures
from postwerk.rules.cooling import Cooling
from postwerk.rules.suspending import SuspensionKind
from tests.support.api import Door, open_door
from tests.support.keys import a_key, caller, problem_of
from tests.support.metrics import told, value
from tests.support.queues import recount, set_message, set_send
from tests.support.seeding import a_stored_bulk_send

ADDRESSES = [f"{name}@example.com" for name in ("ada", "bob", "eve", "kim", "lee")]


async def figures(archive: Archive, now: datetime) -> QueueFigures:
    async with archive.reading() as connection:
        return await queue_figures(connection, now)


async def test_the_figures_are_the_counters_of_sends_that_have_not_ended(archive: Archive) -> None:
    going, paused, ended = [(await a_stored_bulk_send(archive, ADDRESSES)).bulk_id for _ in range(3)]
    for bulk_id in (going, paused, ended):
        for seq, state in ((1, "deferred"), (2, "held"), (3, "sending"), (4, "delivered")):
            await set_message(archive, bulk_id, seq, state=state)
    await recount(archive, going, paused, ended)
    await set_send(archive, paused, state="paused")
    await set_send(archive, ended, state="completed")

    found = await figures(archive, datetime.now(UTC))

    assert found.messages == {"queued": 2, "deferred": 2, "held": 2, "sending": 2}
    assert found.sends == {"queued": 1, "paused": 1}


async def test_the_oldest_is_of_a_send_that_may_go_and_has_untried_messages(
    archive: Archive,
) -> None:
    now = datetime.now(UTC)
    assert (await figures(archive, now)).oldest_queued == 0
    going, paused, tried = [(await a_stored_bulk_send(archive, ADDRESSES[:1])).bulk_id for _ in range(3)]
    for bulk_id, minutes in ((going, 10), (paused, 20), (tried, 30)):
        await set_send(archive, bulk_id, accepted_at=to_microseconds(now - timedelta(minutes=minutes)))
    await set_send(archive, paused, state="paused")
    await set_message(archive, tried, 1, state="deferred")
    await recount(archive, tried)

    assert (await figures(archive, now)).oldest_queued == pytest.approx(600)

    await set_send(archive, paused, state="running")
    assert (await figures(archive, now)).oldest_queued == pytest.approx(1200)


async def test_lanes_and_relays_that_rest_are_told_by_provider(archive: Archive) -> None:
    now = datetime.now(UTC)
    async with archive.writing() as connection:
        for lane in ("gmail.com", "one.example", "two.example", RELAY):
            await lanes.rate_refused(
                connection,
                "default",
                lane,
                Refusal("421 slow down", "rate_limited", None, None),
                Cooling(),
                now,
            )
        await suspend(
            connection,
            SuspensionKind.DOMAIN,
            "three.example",
            until=now + timedelta(hours=1),
            reason="",
            actor=Actor(by="ada"),
            now=now,
        )

    found = await figures(archive, now)
    assert found.cooling == {("default", "gmail.com"): 1, ("default", "other"): 2}
    assert (found.resting_relays, found.suspensions) == ({"default": True}, 1)

    later = await figures(archive, now + timedelta(hours=3))
    assert (later.cooling, later.resting_relays, later.suspensions) == ({}, {"default": False}, 0)


async def scraped(door: Door) -> str:
    answer = await door.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


async def test_a_scrape_tells_queue_workers_and_calls(archive: Archive) -> None:
    async with open_door(archive) as door:
        await door.send(recipients=[{"to": address} for address in ADDRESSES])
        before = value(await scraped(door), "postwerk_http_requests_total", **_shown("404"))
        assert (await door.http.get("/v1/suppressions/ada@example.com")).status_code == 404
        text_ = await scraped(door)

        assert value(text_, "postwerk_queued") == len(ADDRESSES)
        assert value(text_, "postwerk_bulk_sends", state="queued") == 1
        assert value(text_, "postwerk_workers") == 1
        assert value(text_, "postwerk_archive_up") == value(text_, "postwerk_temporal_up") == 1
        assert value(text_, "postwerk_http_requests_total", **_shown("404")) == before + 1
        assert value(text_, "postwerk_http_request_seconds_count", **_shown()) >= 1
        assert "example.com" not in text_


def _shown(status: str = "") -> dict[str, str]:
    labels = {"method": "GET", "route": "/v1/suppressions/{address}"}
    return labels | ({"status": status} if status else {})


async def test_the_archive_is_asked_every_ten_seconds_at_most(archive: Archive) -> None:
    async with open_door(archive) as door:
        await scraped(door)
        await door.send()
        assert value(await scraped(door), "postwerk_queued") == 0

        door.parts.standing = StandingMemory(archive, door.parts.workers)
        assert value(await scraped(door), "postwerk_queued") == 1


async def test_while_archive_and_temporal_are_away_it_says_so(archive: Archive) -> None:
    async with open_door(archive) as door:
        door.temporal.away = True
        async with archive.writing() as connection:
            await connection.execute(text("ALTER TABLE counter RENAME TO counter_is_away"))
        said = await scraped(door)

    assert (value(said, "postwerk_archive_up"), value(said, "postwerk_temporal_up")) == (0, 0)
    assert not {("postwerk_queued", ()), ("postwerk_workers", ())} & told(said).keys()


async def test_it_asks_for_the_scope_read(archive: Archive) -> None:
    async with open_door(archive) as door:
        reads, sends = await a_key(archive, "read"), await a_key(archive, "send")
        assert await _status(door, reads.text) == 200
        assert await _status(door, sends.text) == 403
        async with caller(door) as http:
            problem_of(await http.get("/metrics"), 401, "unauthorized")
        async with caller(door, peer="127.0.0.1") as http:  # there are keys: this machine needs one too
            problem_of(await http.get("/metrics"), 401, "unauthorized")


async def test_a_setting_opens_it_and_nothing_else(archive: Archive) -> None:
    async with open_door(archive, ApiConfig(metrics_open=True)) as door:
        await a_key(archive, "admin")
        assert await _status(door) == 200
        assert await _status(door, "pw_wrong") == 401
        async with caller(door) as http:
            assert (await http.get("/v1/lanes")).status_code == 401
            assert (await http.post("/metrics")).status_code in (401, 405)


async def _status(door: Door, key: str = "") -> int:
    async with caller(door, key) as http:
        answer: httpx2.Response = await http.get("/metrics")
        return answer.status_code
