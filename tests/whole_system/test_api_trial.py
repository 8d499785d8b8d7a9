"""`POST /v1/bulk-sends/{id}/test`: one mail that shows what a send looks like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from postwerk.archive import reads
from postwerk.archive.audit import audit_entries
from postwerk.archive.engine import Archive
from postwerk.contracts.states import SendKind
from tests.support.api import Door, open_door


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


READERS = [
    {"to": "ada@example.com", "name": "Ada", "variables": {"first_name": "Ada"}},
    {"to": "bob@example.com", "name": "Bob", "variables": {"first_name": "Bob"}},
]


async def trial_of(door: Door, bulk_id: str, **order: Any) -> httpx2.Response:
    order = {"to": "me@shop.example"} | {name.rstrip("_"): value for name, value in order.items()}
    return await door.http.post(f"/v1/bulk-sends/{bulk_id}/test", json=order)


async def kinds_of_sends(door: Door) -> list[str]:
    """What is stored, newest first."""
    answer = await door.http.get("/v1/bulk-sends", params={"kind": [str(kind) for kind in SendKind]})
    return [one["kind"] for one in answer.json()["data"]]


async def mail(door: Door, answer: httpx2.Response) -> str:
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return (await door.http.get(f"/v1/messages/{answer.json()['id']}.1/content")).text


@pytest.mark.parametrize(
    ("order", "name", "to"),
    [
        ({}, "Ada", "Ada <me@shop.example>"),
        ({"as_": 2}, "Bob", "Bob <me@shop.example>"),
        ({"variables": {"first_name": "Eve"}}, "Eve", "me@shop.example"),
        ({"as_": 2, "variables": {"first_name": "Eve"}}, "Eve", "Bob <me@shop.example>"),
        ({"to": "Me <me@shop.example>"}, "Ada", "Me <me@shop.example>"),
    ],
)
async def test_it_shows_the_mail_of_whom_one_likes(
    door: Door, order: dict[str, Any], name: str, to: str
) -> None:
    bulk_id = (await door.send(recipients=READERS, name="spring")).json()["id"]
    answer = await trial_of(door, bulk_id, **order)
    shown = await mail(door, answer)

    assert f"Subject: [Test] Hello {name}\r\n" in shown
    assert f"To: {to}\r\n" in shown
    assert f"Dear {name}," in shown
    assert answer.json()["id"] != bulk_id
    assert f"bulk-{answer.json()['id']}" in door.temporal.started
    async with door.archive.reading() as connection:
        kind = await connection.exec_driver_sql(
            f"SELECT kind FROM bulk_send WHERE id = '{answer.json()['id']}'"
        )
        [entry] = await audit_entries(connection, action="bulk.test")
        assert kind.scalar_one() == "test"
    assert (entry.target, entry.details) == (
        bulk_id,
        {"test": answer.json()["id"], "as": order.get("as_", None if "variables" in order else 1)},
    )


async def test_an_open_and_a_paused_send_are_tested_too(door: Door) -> None:
    opened = await door.open()
    nobody_yet = await trial_of(door, opened, variables={})
    paused = (await door.send(recipients=READERS)).json()["id"]
    await door.http.post(f"/v1/bulk-sends/{paused}/pause", json={"reason": "wrong price"})
    answer = await trial_of(door, paused)

    assert "Hello friend" in await mail(door, nobody_yet)
    view = (await door.http.get(f"/v1/bulk-sends/{answer.json()['id']}")).json()
    assert (view["state"], view["name"], view["accepted"]) == ("queued", "test: spring", 1)
    async with door.archive.reading() as connection:
        assert (await reads.bulk_send(connection, opened)).accepted == 0


@pytest.mark.parametrize(
    ("order", "pointer"),
    [
        ({"to": "nobody"}, "#/to"),
        ({"to": 5}, "#/to"),
        ({"as_": 3}, "#/as"),
        ({"as_": 0}, "#/as"),
        ({"as_": "1"}, "#/as"),
        ({"variables": []}, "#/variables"),
        ({"variables": {"first_name": "a\nb"}}, "#/variables"),
        ({"cc": "x"}, "#/cc"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_sent(
    door: Door, order: dict[str, Any], pointer: str
) -> None:
    bulk_id = (await door.send(recipients=READERS)).json()["id"]
    answer = await trial_of(door, bulk_id, **order)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await kinds_of_sends(door) == ["bulk"]


async def test_a_test_again_with_its_key_is_sent_once(door: Door) -> None:
    bulk_id = (await door.send()).json()["id"]
    answers = [
        await door.http.post(
            f"/v1/bulk-sends/{bulk_id}/test", json={"to": "me@shop.example"}, headers={"Idempotency-Key": "a"}
        )
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert await kinds_of_sends(door) == ["test", "bulk"]


async def test_there_is_nothing_to_test_of_an_unknown_send(door: Door) -> None:
    assert (await trial_of(door, "bulk_00000000000000000000000000")).status_code == 404
