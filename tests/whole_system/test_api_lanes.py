"""Lanes and the relay over HTTP: read, limited, rested; and what waits says why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.dependencies import ApiConfig
from postwerk.archive import lanes
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import LaneState, LaneUse, Refusal
from postwerk.rules.cooling import Cooling
from tests.support.api import Door, open_door

CONFIG = ApiConfig(relay="default", relay_server="mail.example.com:587", relay_rate="1000/h")
TSS04 = Refusal("421 4.7.0 [TSS04] unexpected volume", "rate_limited", cool_for=timedelta(hours=2))


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, CONFIG) as opened:
        yield opened
        await opened.parts.close()


async def get(door: Door, path: str) -> dict[str, Any]:
    answer = await door.http.get(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def put(door: Door, path: str, **words: Any) -> dict[str, Any]:
    answer = await door.http.put(path, json={"reason": "trial", **words})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refused(door: Door, lane: str, refusal: Refusal = TSS04, ago: timedelta = timedelta()) -> LaneState:
    async with door.archive.writing() as connection:
        return await lanes.rate_refused(
            connection, "default", lane, refusal, Cooling(), datetime.now(UTC) - ago
        )


# Reading


async def test_nothing_is_known_at_first(door: Door) -> None:
    found = await get(door, "/v1/lanes")
    assert found["data"] == []
    relay = found["relay"]
    assert (relay["name"], relay["server"], relay["state"]) == ("default", "mail.example.com:587", "working")
    assert relay["rate"] == {"value": "1000/h", "from": "settings"}


async def test_every_known_provider_is_shown_when_asked_for(door: Door) -> None:
    found = {one["lane"]: one for one in (await get(door, "/v1/lanes?all=true"))["data"]}
    assert len(found) > 25
    assert {"hotmail.*", "msn.com"} < set(found["outlook.com"]["domains"])
    orange = found["orange.fr"]
    assert (orange["state"], orange["limits"]["rate"]) == ("paced", {"value": "10/s", "from": "provider"})


async def test_limits_say_where_they_come_from(door: Door) -> None:
    limits = (await get(door, "/v1/lanes/comcast.net"))["limits"]
    assert limits == {
        "rate": {"value": None, "from": None},
        "connections": {"value": 10, "from": "provider"},
        "messages_per_connection": {"value": 1000, "from": "provider"},
    }
    own = await put(door, "/v1/lanes/shop.example", messages_per_connection=7)
    assert own["limits"]["connections"] == {"value": 20, "from": "settings"}
    assert own["limits"]["messages_per_connection"] == {"value": 7, "from": "operator"}


async def test_a_cool_down_shows_its_reason_and_its_recovery(door: Door) -> None:
    rests = await refused(door, "yahoo.com")
    found = await get(door, "/v1/lanes/ymail.com")
    assert (found["lane"], found["state"], found["recovering"]) == ("yahoo.com", "cooling_down", None)
    until = datetime.fromisoformat(found["cool_down"].pop("until"))
    assert (until, found["cool_down"]) == (rests.cool_until, {"reason": "rate_limited", "origin": "reply"})
    assert found["last_refusal"]["reply"] == TSS04.reply

    await refused(door, "gmx.net", Refusal("421", "rate_limited"), ago=timedelta(minutes=2))
    slow = await get(door, "/v1/lanes/gmx.de")
    assert (slow["state"], slow["cool_down"]) == ("recovering", None)
    assert slow["recovering"] == {"seconds_between_messages": 10.0, "reason": "rate_limited"}
    assert [one["lane"] for one in (await get(door, "/v1/lanes"))["data"]] == ["gmx.net", "yahoo.com"]


async def test_use_and_queue_of_all_workers_together(door: Door) -> None:
    await door.send(recipients=[{"to": f"a{n}@gmail.com"} for n in range(7)])
    async with door.archive.writing() as connection:
        for worker, age in (("a", 1), ("b", 2), ("gone", 60)):
            use = [LaneUse("gmail.com", 3, 60.5)]
            at = datetime.now(UTC) - timedelta(seconds=age)
            await lanes.report_use(connection, "default", worker, use, at)
    found = await get(door, "/v1/lanes/googlemail.com")
    assert found["use"] == {"connections": 6, "attempts_per_minute": 121.0}
    assert found["queued"] == 7
    assert found["queued_as_of"] is not None


async def test_the_relay_says_when_it_is_tried_again(door: Door) -> None:
    refusal = Refusal("connection refused", "no_connection")
    async with door.archive.writing() as connection:
        state = await lanes.session_failed(
            connection, "default", refusal, Cooling(), datetime.now(UTC), our_fault=False
        )
    relay = await get(door, "/v1/relay")
    assert (relay["state"], relay["failures"]) == ("cooling_down", 1)
    assert relay["last_refusal"]["reply"] == "connection refused"
    assert datetime.fromisoformat(relay["next_probe_at"]) == state.cool_until
    assert (await get(door, "/v1/lanes"))["data"] == []


@pytest.mark.parametrize("name", ["nobody.example", "gmail", "a%20b", "-", "..", "other%00", "x" * 300])
async def test_what_is_no_lane_is_a_404_with_a_sentence(door: Door, name: str) -> None:
    answer = await door.http.get(f"/v1/lanes/{name}")
    assert answer.status_code == 404
    if name != "..":
        assert "lane" in answer.json()["detail"]


async def test_the_lane_of_small_domains_is_always_there(door: Door) -> None:
    assert (await get(door, "/v1/lanes/other"))["lane"] == "other"


async def test_without_a_setting_the_only_relay_known_is_meant(archive: Archive) -> None:
    async with open_door(archive) as door:
        assert (await get(door, "/v1/relay"))["name"] == "default"
        async with archive.writing() as connection:
            await lanes.report_use(connection, "mx1", "w", [LaneUse("gmail.com", 1, 1.0)], datetime.now(UTC))
        assert (await get(door, "/v1/relay"))["name"] == "mx1"
        async with archive.writing() as connection:
            await lanes.report_use(connection, "mx2", "w", [LaneUse("gmail.com", 1, 1.0)], datetime.now(UTC))
        answer = await door.http.get("/v1/lanes")
        assert answer.status_code == 409
        assert "POSTWERK_RELAY_URL" in answer.json()["detail"]


# Limits


async def test_limits_are_set_replaced_and_taken_back(door: Door) -> None:
    first = await put(door, "/v1/lanes/googlemail.com", rate="30/min,burst=5", connections=3, by="ada")
    override = first["override"]
    assert (first["lane"], first["state"]) == ("gmail.com", "paced")
    assert (override["rate"], override["connections"]) == ("30/min,burst=5", 3)
    assert (override["set_by"], override["reason"], override["until"]) == ("ada", "trial", None)

    second = await put(door, "/v1/lanes/gmail.com", connections=4)
    assert second["override"]["rate"] is None
    assert second["override"]["set_by"] == "api"
    assert second["limits"]["connections"] == {"value": 4, "from": "operator"}

    third = await put(door, "/v1/lanes/gmail.com")
    assert (third["override"], third["limits"]["connections"]) == (None, {"value": 20, "from": "settings"})


async def test_a_rest_leaves_the_limits_and_limits_the_rest(door: Door) -> None:
    await put(door, "/v1/lanes/gmail.com", connections=3)
    rests = await put(door, "/v1/lanes/gmail.com", cool_down="30m", by="ada", reason="maintenance")
    assert rests["cool_down"]["origin"] == "ada"
    assert rests["cool_down"]["reason"] == "maintenance"
    assert rests["override"]["connections"] == 3
    assert (await put(door, "/v1/lanes/gmail.com", connections=5))["state"] == "cooling_down"
    ended = await put(door, "/v1/lanes/gmail.com", cool_down=False)
    assert (ended["state"], ended["override"]["connections"]) == ("free", 5)


@pytest.mark.parametrize("words", [{"for": "1h"}, {"for": 3600}, {"for": "PT1H"}])
async def test_limits_end_by_themselves(door: Door, words: dict[str, Any]) -> None:
    found = await put(door, "/v1/lanes/gmail.com", rate="1/s", **words)
    until = datetime.fromisoformat(found["override"]["until"])
    assert abs(until - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    at = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    again = await put(door, "/v1/lanes/gmail.com", rate="1/s", until=at)
    assert datetime.fromisoformat(again["override"]["until"]) == datetime.fromisoformat(at)


@pytest.mark.parametrize(
    ("words", "pointer"),
    [
        ({"rate": "fast"}, "#/rate"),
        ({"rate": "0/s"}, "#/rate"),
        ({"rate": 30}, "#/rate"),
        ({"connections": 0}, "#/connections"),
        ({"connections": "3"}, "#/connections"),
        ({"messages_per_connection": 1.5}, "#/messages_per_connection"),
        ({"reason": None}, "#/reason"),
        ({"reason": " "}, "#/reason"),
        ({"reason": "a\x00b"}, "#/reason"),
        ({"by": "reply"}, "#/by"),
        ({"cool_down": "soon"}, "#/cool_down"),
        ({"cool_down": True}, "#/cool_down"),
        ({"cool_down": "30d"}, "#/cool_down"),
        ({"rate": "1/s", "for": "1h", "until": "2030-01-01T00:00:00Z"}, "#/for"),
        ({"rate": "1/s", "until": "2020-01-01T00:00:00Z"}, "#/until"),
        ({"rate": "1/s", "until": "2030-01-01T00:00:00"}, "#/until"),
        ({"cool_down": "30m", "for": "1h"}, "#/for"),
        ({"rates": "1/s"}, "#/rates"),
    ],
)
async def test_a_wrong_order_is_named(door: Door, words: dict[str, Any], pointer: str) -> None:
    answer = await door.http.put("/v1/lanes/gmail.com", json={"reason": "trial"} | words)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    if pointer == "#/rate" and isinstance(words["rate"], str):
        assert '"30/min,burst=5"' in answer.json()["errors"][0]["detail"]
    assert (await get(door, "/v1/lanes/gmail.com"))["override"] is None


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 422), (b"", 400), (b"x" * 70_000, 413)])
async def test_what_is_no_order_is_refused(door: Door, body: bytes, status: int) -> None:
    for path in ("/v1/lanes/gmail.com", "/v1/relay"):
        assert (await door.http.put(path, content=body)).status_code == status


async def test_the_relay_knows_a_rest_and_nothing_else(door: Door) -> None:
    rests = await put(door, "/v1/relay", cool_down="1h", by="ada")
    assert (rests["state"], rests["cool_down"]["origin"]) == ("cooling_down", "ada")
    answer = await door.http.put("/v1/relay", json={"reason": "x", "rate": "1/s"})
    assert {one["pointer"] for one in answer.json()["errors"]} == {"#/cool_down", "#/rate"}
    assert (await put(door, "/v1/relay", cool_down=None))["state"] == "working"


# Waking


async def until_told(door: Door, count: int) -> list[str]:
    async with asyncio.timeout(20):
        while len(door.temporal.signalled) < count:
            await asyncio.sleep(0.02)
    return [workflow for workflow, name in door.temporal.signalled if name == "look_again"]


async def test_the_end_of_a_rest_wakes_the_batches_of_its_lane(door: Door) -> None:
    door.temporal.running = {f"bulk-x/batch-{n}": ("yahoo.com", "gmx.net")[n % 2] for n in range(6)}
    await refused(door, "yahoo.com")
    await put(door, "/v1/lanes/yahoo.com", cool_down=None)
    assert sorted(await until_told(door, 3)) == [f"bulk-x/batch-{n}" for n in (0, 2, 4)]

    await put(door, "/v1/relay", cool_down=None)
    assert len(await until_told(door, 3 + 6)) == 9


async def test_only_what_makes_it_faster_wakes_anybody(door: Door) -> None:
    door.temporal.running = {"bulk-x/batch-1": "gmail.com"}
    await put(door, "/v1/lanes/gmail.com", rate="10/s")
    await put(door, "/v1/lanes/gmail.com", rate="1/s")
    await put(door, "/v1/lanes/gmail.com", cool_down="1h")
    await asyncio.sleep(2)  # the proof is that nothing happens
    assert door.temporal.signalled == []
    await put(door, "/v1/lanes/gmail.com", rate="2/s")
    assert await until_told(door, 1) == ["bulk-x/batch-1"]


async def test_thousands_are_woken_behind_the_callers_back(door: Door) -> None:
    door.temporal.running = {f"bulk-x/batch-{n}": "yahoo.com" for n in range(5000)}
    await refused(door, "yahoo.com")
    began = time.monotonic()
    await put(door, "/v1/lanes/yahoo.com", cool_down=None)
    assert time.monotonic() - began < 1
    assert len(set(await until_told(door, 5000))) == 5000
    assert door.temporal.most_signals_at_once <= 20


async def test_a_temporal_that_is_away_keeps_no_order_from_being_taken(door: Door) -> None:
    await refused(door, "yahoo.com")
    door.temporal.away = True
    assert (await put(door, "/v1/lanes/yahoo.com", cool_down=None))["state"] == "free"
    await asyncio.sleep(0.5)
    assert door.temporal.signalled == []


# Why it waits


async def a_running_send(door: Door, domain: str = "yahoo.com", count: int = 3, **changes: Any) -> str:
    to = [{"to": f"a{n}@{domain}"} for n in range(count)]
    bulk_id = str((await door.send(recipients=to, **changes)).json()["id"])
    async with door.archive.writing() as connection:
        await connection.execute(
            text("UPDATE bulk_send SET state = 'running' WHERE id = :id"), {"id": bulk_id}
        )
    return bulk_id


async def wait_of(door: Door, bulk_id: str) -> dict[str, Any]:
    """What the bulk send says; its list, and each of its messages, must say the same reason."""
    send = await get(door, f"/v1/bulk-sends/{bulk_id}")
    [listed] = (await get(door, "/v1/bulk-sends"))["data"]
    assert listed["waits_for"] == send["waits_for"]
    messages = (await get(door, f"/v1/bulk-sends/{bulk_id}/messages"))["data"]
    one = await get(door, f"/v1/messages/{bulk_id}.1")
    reasons = {message["waits_for"]["reason"] for message in [*messages, one]}
    assert reasons == {send["waits_for"]["reason"]}
    return dict(send["waits_for"])


async def test_bulk_send_and_messages_wait_for_their_lane(door: Door) -> None:
    bulk_id = await a_running_send(door)
    assert (await wait_of(door, bulk_id))["reason"] == "paced"  # the relay's own rate
    await refused(door, "yahoo.com")
    found = await wait_of(door, bulk_id)
    assert (found["reason"], found["lane"]) == ("cooling_down", "yahoo.com")
    assert TSS04.reply in found["detail"]


async def test_bulk_send_and_messages_wait_for_a_worker_or_for_temporal(door: Door) -> None:
    bulk_id = await a_running_send(door)
    door.temporal.workers = 0
    assert (await wait_of(door, bulk_id))["reason"] == "no_worker"
    door.temporal.away = True
    assert (await wait_of(door, bulk_id))["reason"] == "no_worker"  # for five seconds it is believed
    door.parts.workers._good_until = 0.0
    assert (await wait_of(door, bulk_id))["reason"] == "temporal_away"


async def test_an_open_list_has_not_started_and_an_ended_send_waits_for_nothing(door: Door) -> None:
    bulk_id = await door.open()
    await door.upload(bulk_id, "to\nada@example.com\n", "text/csv")
    assert (await wait_of(door, bulk_id))["reason"] == "not_started"
    async with door.archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET state = 'completed'"))
        await connection.execute(text("UPDATE message SET state = 'delivered'"))
    assert (await get(door, f"/v1/bulk-sends/{bulk_id}"))["waits_for"] is None
    assert (await get(door, f"/v1/messages/{bulk_id}.1"))["waits_for"] is None


async def test_a_rate_of_its_own_is_named(door: Door) -> None:
    found = await wait_of(door, await a_running_send(door, rate="30/min"))
    assert (found["reason"], found["detail"]) == ("paced", "30/min of the bulk send")
