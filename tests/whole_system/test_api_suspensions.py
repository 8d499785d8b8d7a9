"""Suspensions over HTTP: made, listed, ended; seen on lanes, on messages and on bulk sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from api.reconciler import Reconciler
from postwerk.archive.engine import Archive
from postwerk.archive.plan import plan_batches
from tests.support.api import Door, open_door

PATH = "/v1/suspensions"


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened
        await opened.parts.close()


async def post(door: Door, by: str = "", **changes: Any) -> httpx2.Response:
    """POST a valid order, changed as said; `for_` stands for `for`, None leaves a field out."""
    order = {"reason": "their maintenance", "for_": "30m", **changes}
    body = {name.rstrip("_"): value for name, value in order.items() if value is not None}
    return await door.http.post(PATH, json=body, headers={"Postwerk-User": by} if by else {})


async def suspend(door: Door, **changes: Any) -> dict[str, Any]:
    answer = await post(door, **changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def get(door: Door, path: str, **query: Any) -> dict[str, Any]:
    answer = await door.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def end(door: Door, made: dict[str, Any], by: str = "") -> dict[str, Any]:
    headers = {"Postwerk-User": by} if by else {}
    answer = await door.http.delete(f"{PATH}/{made['id']}", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def running(door: Door, *addresses: str) -> str:
    """A planned and running bulk send."""
    answer = await door.send(recipients=[{"to": address} for address in addresses])
    bulk_id = str(answer.json()["id"])
    async with door.archive.writing() as connection:
        await plan_batches(connection, bulk_id, None, now=datetime.now(UTC), shard=0)
        await connection.execute(text("UPDATE bulk_send SET state = 'running'"))
    return bulk_id


# Made and ended


async def test_a_domain_is_suspended_for_a_while(door: Door) -> None:
    made = await suspend(door, domain="GMX.de", by="ada")
    assert made["id"].startswith("sus_")
    assert (made["domain"], made["provider"], made["reason"]) == ("gmx.de", None, "their maintenance")
    assert (made["by"], made["active"], made["ended_at"], made["ended_by"]) == ("ada", True, None, None)
    length = datetime.fromisoformat(made["until"]) - datetime.fromisoformat(made["created_at"])
    assert length == timedelta(minutes=30)
    assert await get(door, f"{PATH}/{made['id']}") == made


@pytest.mark.parametrize(
    ("given", "lane"),
    [
        ("googlemail.com", "gmail.com"),
        ("hotmail.de", "outlook.com"),
        ("acme.example", "acme.example"),
        ("OTHER", "other"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
async def test_a_provider_is_named_by_any_of_its_domains(door: Door, given: str, lane: str) -> None:
    made = await suspend(door, provider=given, for_=60)
    assert (made["domain"], made["provider"], made["by"]) == (None, lane, "api")


async def test_one_is_ended_by_hand_and_stays_ended(door: Door) -> None:
    made = await suspend(door, domain="gmx.de")
    ended = await end(door, made, by="bob")
    assert (ended["active"], ended["ended_by"]) == (False, "bob")
    assert made["created_at"] <= ended["ended_at"] < made["until"]
    assert await end(door, made, by="ada") == ended


async def test_they_are_listed_in_pages_newest_first(door: Door) -> None:
    made = [await suspend(door, domain=f"n{n}.example") for n in range(5)]
    await end(door, made[1])
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = await get(door, PATH, **query)
        found += [one["domain"] for one in page["data"]]
        if not page["has_more"]:
            break
        query["after"] = page["next"]
    assert found == [f"n{n}.example" for n in (4, 3, 2, 1, 0)]
    assert [one["domain"] for one in (await get(door, PATH, active=False))["data"]] == ["n1.example"]
    assert len((await get(door, PATH, active=True))["data"]) == 4


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({}, "#/domain", "missing"),
        ({"domain": "gmx.de", "provider": "gmx.net"}, "#/provider", "both_given"),
        ({"domain": "not a domain"}, "#/domain", "invalid_domain"),
        ({"domain": "a@gmx.de"}, "#/domain", "invalid_domain"),
        ({"provider": "-"}, "#/provider", "invalid_domain"),
        ({"domain": 7}, "#/domain", "string_type"),
        ({"domain": "gmx.de", "reason": None}, "#/reason", "reason_required"),
        ({"domain": "gmx.de", "reason": "  "}, "#/reason", "reason_required"),
        ({"domain": "gmx.de", "reason": "a\nb"}, "#/reason", "invalid_text"),
        ({"domain": "gmx.de", "reason": "x" * 501}, "#/reason", "string_too_long"),
        ({"domain": "gmx.de", "for_": None}, "#/for", "missing"),
        ({"domain": "gmx.de", "for_": "soon"}, "#/for", "invalid_duration"),
        ({"domain": "gmx.de", "for_": 0.5}, "#/for", "out_of_range"),
        ({"domain": "gmx.de", "for_": "31d"}, "#/for", "out_of_range"),
        ({"domain": "gmx.de", "until": "2030-01-01"}, "#/until", "unknown_field"),
    ],
)
async def test_a_wrong_order_is_refused_by_its_field(
    door: Door, changes: dict[str, Any], pointer: str, code: str
) -> None:
    answer = await post(door, **changes)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)
    assert (await get(door, PATH))["data"] == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b""])
async def test_what_is_no_object_is_refused(door: Door, body: bytes) -> None:
    assert (await door.http.post(PATH, content=body)).status_code in (400, 422)


async def test_wrong_ids_cursors_and_parameters_are_told(door: Door) -> None:
    unknown = f"{PATH}/sus_{'0' * 26}"
    assert (await door.http.get(unknown)).status_code == 404
    assert (await door.http.delete(unknown)).status_code == 404
    assert (await door.http.get(f"{PATH}/x")).status_code == 404
    assert (await door.http.get(PATH, params={"after": "x"})).status_code == 422
    assert (await door.http.get(PATH, params={"activ": "true"})).status_code == 422
    assert (await post(door, domain="gmx.de", by="x" * 101)).status_code == 422


# Who is woken


@pytest.mark.parametrize(
    ("order", "woken"),
    [
        ({"provider": "gmail.com"}, {"g"}),
        ({"domain": "googlemail.com"}, {"g"}),
        ({"domain": "acme.example"}, {"a", "o"}),
    ],
)
async def test_ending_one_wakes_the_batches_that_sleep_because_of_it(
    door: Door, order: dict[str, str], woken: set[str]
) -> None:
    door.temporal.running = {"g": "gmail.com", "a": "acme.example", "o": "other", "y": "yahoo.com"}
    made = await suspend(door, **order)
    await end(door, made)
    await settled(door)
    assert {workflow for workflow, signal in door.temporal.signalled if signal == "look_again"} == woken
    door.temporal.signalled.clear()
    await end(door, made)
    await settled(door)
    assert door.temporal.signalled == []


async def test_who_was_not_told_of_an_end_is_told_by_the_next_look(door: Door) -> None:
    door.temporal.running = {"g": "gmail.com", "y": "yahoo.com"}
    made = await suspend(door, provider="gmail.com")
    await end(door, made)
    await door.parts.waker.close()  # the process died before it told anybody
    assert door.temporal.signalled == []
    reconciler = Reconciler(door.archive, door.parts.client, "postwerk")
    for seconds in (1, 3, 18):
        await reconciler.look(door.parts.now() + timedelta(seconds=seconds))
        assert door.temporal.signalled == ([] if seconds == 1 else [("g", "look_again")])
    await Reconciler(door.archive, door.parts.client, "postwerk").look(door.parts.now() + timedelta(hours=1))
    assert len(door.temporal.signalled) == 1


async def settled(door: Door) -> None:
    """When every round of waking is done."""
    for one in list(door.parts.waker._rounds.values()):
        await one


# What is seen of them


async def test_a_lane_shows_that_it_is_suspended(door: Door) -> None:
    made = await suspend(door, provider="gmail.com", by="ada")
    found = await get(door, "/v1/lanes/googlemail.com")
    assert (found["state"], found["cool_down"], found["suspended_domains"]) == ("suspended", None, [])
    assert found["suspension"] == {"until": made["until"], "reason": "their maintenance", "by": "ada"}
    assert [one["lane"] for one in (await get(door, "/v1/lanes"))["data"]] == ["gmail.com"]
    await end(door, made)
    found = await get(door, "/v1/lanes/gmail.com")
    assert (found["state"], found["suspension"]) == ("free", None)


async def test_a_lane_names_those_of_its_domains_that_are_suspended(door: Door) -> None:
    await suspend(door, domain="googlemail.com")
    await suspend(door, domain="acme.example")
    gmail = await get(door, "/v1/lanes/gmail.com")
    assert (gmail["state"], gmail["suspension"]) == ("free", None)
    assert gmail["suspended_domains"] == ["googlemail.com"]
    assert (await get(door, "/v1/lanes/other"))["suspended_domains"] == ["acme.example"]
    assert (await get(door, "/v1/lanes/acme.example"))["state"] == "suspended"


async def test_the_end_of_a_rest_is_not_the_end_of_a_suspension_nor_the_other_way_round(door: Door) -> None:
    made = await suspend(door, provider="gmail.com")
    for rest in ("1h", None):
        await door.http.put("/v1/lanes/gmail.com", json={"cool_down": rest, "reason": "trial"})
        found = await get(door, "/v1/lanes/gmail.com")
        assert (found["state"], found["cool_down"] is not None) == ("suspended", rest is not None)
    await door.http.put("/v1/lanes/gmail.com", json={"cool_down": "1h", "reason": "trial"})
    await end(door, made)
    assert (await get(door, "/v1/lanes/gmail.com"))["state"] == "cooling_down"


async def test_messages_and_their_send_say_that_they_wait_for_it(door: Door) -> None:
    bulk_id = await running(door, "a@tiny.example", "b@small.example", "c@googlemail.com", "d@gmail.com")
    made = await suspend(door, domain="tiny.example")
    await suspend(door, domain="googlemail.com")
    messages = (await get(door, f"/v1/bulk-sends/{bulk_id}/messages"))["data"]
    assert [one["waits_for"]["reason"] for one in messages] == [
        "suspended",
        "in_turn",
        "suspended",
        "in_turn",
    ]
    assert messages[0]["waits_for"]["until"] == made["until"]
    assert messages[0]["waits_for"]["detail"].startswith("tiny.example is suspended until")
    assert {one["state"] for one in messages} == {"queued"}
    assert (await get(door, f"/v1/bulk-sends/{bulk_id}"))["waits_for"]["reason"] == "suspended"
    assert (await get(door, f"/v1/messages/{messages[2]['id']}"))["waits_for"]["lane"] == "gmail.com"


async def test_a_send_without_mail_to_it_does_not_wait_for_it(door: Door) -> None:
    bulk_id = await running(door, "b@small.example", "d@gmail.com")
    await suspend(door, domain="tiny.example")
    await suspend(door, domain="googlemail.com")
    await suspend(door, provider="yahoo.com")
    assert (await get(door, f"/v1/bulk-sends/{bulk_id}"))["waits_for"]["reason"] == "in_turn"
    await suspend(door, provider="gmail.com")
    assert (await get(door, f"/v1/bulk-sends/{bulk_id}"))["waits_for"]["reason"] == "suspended"
