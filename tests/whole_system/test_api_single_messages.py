"""POST /v1/messages and the list of what it took, on both databases, with a stand-in for Temporal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.reconciler import Reconciler
from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door
from tests.support.keys import a_key, caller
from tests.support.messages import a_message


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


async def send(door: Door, to: Any = "ada@example.com", **changes: Any) -> Any:
    return await door.http.post("/v1/messages", json=a_message(to, **changes))


async def test_it_is_stored_queued_planned_and_started(door: Door) -> None:
    answer = await send(door, "Ada <ada@gmail.com>", name="order")
    taken = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == taken["links"]["self"]
    assert taken["links"]["self"].endswith(f"/v1/messages/{taken['id']}")
    order = door.temporal.started[taken["workflow_id"]]
    assert door.temporal.types[taken["workflow_id"]] == "Message"
    assert order.batches is not None
    assert [(batch.lane, batch.messages) for batch in order.batches] == [("gmail.com", 1)]

    message = (await door.http.get(taken["links"]["self"])).json()
    assert (message["to"], message["name"], message["state"]) == ("ada@gmail.com", "Ada", "queued")
    assert message["variables"] == {"number": 4711}
    content = await door.http.get(f"/v1/messages/{taken['id']}/content")
    assert b"Your order 4711" in content.content
    send_ = (await door.http.get(taken["links"]["bulk_send"])).json()
    assert (send_["kind"], send_["name"], send_["counts"]["queued"]) == ("message", "order", 1)


async def test_messages_of_one_template_share_their_content(door: Door) -> None:
    for number in range(3):
        assert (await send(door, variables={"number": number})).status_code == 202
    async with door.archive.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM content"))).scalar_one() == 1


async def test_temporal_may_be_away(door: Door) -> None:
    door.temporal.away = True
    taken = (await send(door)).json()
    assert taken["state"] == "queued"
    door.temporal.away = False
    reconciler = Reconciler(door.archive, door.parts.client, "q")
    await reconciler.look(door.parts.now() + timedelta(seconds=6))
    assert door.temporal.types[taken["workflow_id"]] == "Message"


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"to": "nobody"}, "#/to", "invalid_address"),
        ({"to": ["a@example.com", "b@example.com"]}, "#/to", "invalid_address"),
        ({"to": None}, "#/to", "invalid_address"),
        ({"recipients": []}, "#/recipients", "unknown_field"),
        ({"rate": "1/s"}, "#/rate", "unknown_field"),
        ({"text": None}, "#/text", "missing"),
        ({"deadline": "1s"}, "#/deadline", "out_of_range"),
        ({"coalesce": {"key": "a"}}, "#/coalesce/window", "missing"),
        ({"coalesce": {"key": "", "window": "1m"}}, "#/coalesce/key", "string_too_short"),
        ({"coalesce": {"key": "a\nb", "window": "1m"}}, "#/coalesce/key", "invalid_text"),
        ({"coalesce": {"key": "a", "window": "8d"}}, "#/coalesce/window", "out_of_range"),
        ({"coalesce": {"key": "a", "window": "0.5s"}}, "#/coalesce/window", "out_of_range"),
        ({"coalesce": {"key": "a", "window": "1m", "rank": "high"}}, "#/coalesce/rank", "int_type"),
        ({"coalesce": {"key": "a", "window": "1m", "first": "now"}}, "#/coalesce/first", "unknown_field"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_named(door: Door, changes: dict[str, Any], pointer: str, code: str) -> None:
    answer = await door.http.post("/v1/messages", json=a_message("ada@example.com") | changes)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    entries = problem["errors"] or [{"pointer": problem.get("pointer"), "code": problem["code"]}]
    assert (entries[0]["pointer"], entries[0]["code"]) == (pointer, code)
    assert not door.temporal.started
    assert (await door.http.get("/v1/messages")).json()["data"] == []


async def test_who_coalesces_is_handed_to_the_others_and_not_started(door: Door) -> None:
    coalesce = {"key": "quota-4711", "window": "1m", "rank": 70}
    taken = (await send(door, coalesce=coalesce)).json()
    [arrival] = door.temporal.handed_in
    assert (arrival.bulk_id, arrival.rank, arrival.window.total_seconds()) == (taken["bulk_send"], 70, 60)
    assert "quota" not in arrival.workflow_id
    assert not door.temporal.started
    message = (await door.http.get(f"/v1/messages/{taken['id']}")).json()
    arrived_at = message["coalesced"].pop("arrived_at")
    assert datetime.fromisoformat(arrived_at) <= datetime.now(UTC)
    assert message["coalesced"] == {"key": "quota-4711", "rank": 70, "state": "waiting", "into": None}
    assert message["waits_for"]["reason"] == "coalescing"
    queued = (await door.http.get("/v1/queue/messages")).json()["data"]
    assert [one["waits_for"]["reason"] for one in queued] == ["coalescing"]


async def test_who_is_suppressed_waits_for_nobody(door: Door) -> None:
    await door.http.post("/v1/suppressions", json={"address": "ada@example.com"})
    taken = (await send(door, coalesce={"key": "a", "window": "1m"})).json()
    assert taken["state"] == "suppressed"
    assert not door.temporal.handed_in
    assert taken["workflow_id"] in door.temporal.started


async def test_the_list_has_the_newest_first_and_goes_page_by_page(door: Door) -> None:
    ids = [(await send(door, f"a{n}@example.com")).json()["id"] for n in range(5)]
    await door.send()
    first = (await door.http.get("/v1/messages", params={"limit": 3})).json()
    assert [one["id"] for one in first["data"]] == ids[:1:-1]
    rest = (await door.http.get("/v1/messages", params={"limit": 3, "after": first["next"]})).json()
    assert [one["id"] for one in rest["data"]] == ids[1::-1]
    assert (rest["has_more"], rest["next"]) == (False, None)


async def test_the_list_may_be_asked_for_a_state_or_an_address(door: Door) -> None:
    await door.http.post("/v1/suppressions", json={"address": "no@example.com"})
    for to in ("no@example.com", "yes@example.com"):
        await send(door, to)

    async def found(**parameters: str) -> list[str]:
        answer = await door.http.get("/v1/messages", params=parameters)
        return [one["to"] for one in answer.json()["data"]]

    assert await found(state="suppressed") == ["no@example.com"]
    assert await found(to="YES@example.com") == ["yes@example.com"]
    assert await found(to="yes") == []
    for wrong in ({"state": "lost"}, {"after": "x"}, {"form": "x"}):
        assert (await door.http.get("/v1/messages", params=wrong)).status_code == 422


async def test_the_list_of_bulk_sends_has_bulk_sends_unless_more_is_asked_for(door: Door) -> None:
    await send(door)
    bulk = (await door.send()).json()["id"]

    async def kinds(**parameters: Any) -> list[str]:
        answer = await door.http.get("/v1/bulk-sends", params=parameters)
        return [one["kind"] for one in answer.json()["data"]]

    assert await kinds() == ["bulk"]
    assert await kinds(kind="message") == ["message"]
    assert await kinds(kind=["bulk", "message"]) == ["bulk", "message"]
    assert (await door.http.get(f"/v1/bulk-sends/{bulk}")).json()["kind"] == "bulk"
    assert (await door.http.get("/v1/bulk-sends", params={"kind": "odd"})).status_code == 422


async def test_what_a_key_sends_is_its_own_and_counts_for_its_quota(door: Door) -> None:
    mine, theirs = await a_key(door.archive, "send", quota="2/d"), await a_key(door.archive, "send")
    wish = {"key": "quota", "window": "1m"}
    for key, name in ((mine, "mine"), (theirs, "theirs")):
        async with caller(door, key.text) as http:
            answer = await http.post(
                "/v1/messages", json=a_message("ada@example.com", name=name, coalesce=wish)
            )
            assert answer.status_code == 202, answer.text
    first, second = door.temporal.handed_in
    assert first.workflow_id != second.workflow_id
    async with caller(door, mine.text) as http:
        listed = (await http.get("/v1/messages")).json()["data"]
        assert [one["bulk_send"] for one in listed] == [first.bulk_id]
        assert (await http.post("/v1/messages", json=a_message("b@example.com"))).status_code == 202
        assert (await http.post("/v1/messages", json=a_message("c@example.com"))).status_code == 429
        assert len((await http.get("/v1/messages")).json()["data"]) == 2


async def test_a_key_sends_from_its_domains_alone(door: Door) -> None:
    key = await a_key(door.archive, "send", domains=["other.example"])
    async with caller(door, key.text) as http:
        answer = await http.post("/v1/messages", json=a_message("ada@example.com"))
    assert answer.status_code == 403, answer.text


async def test_a_call_that_comes_again_makes_one_message(door: Door) -> None:
    request, key = a_message("ada@example.com"), {"Idempotency-Key": "order-4711"}
    first = await door.http.post("/v1/messages", json=request, headers=key)
    again = await door.http.post("/v1/messages", json=request, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    other = await door.http.post("/v1/messages", json=request | {"subject": "Other"}, headers=key)
    assert other.status_code == 422, other.text
    assert len((await door.http.get("/v1/messages")).json()["data"]) == 1
