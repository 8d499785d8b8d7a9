"""`notify`: checked at the door, shown again, and told to the workflow as flags without an address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


ME = "Me <me@shop.example>"


async def test_a_send_without_notify_tells_nobody(door: Door) -> None:
    taken = (await door.send()).json()
    view = (await door.http.get(f"/v1/bulk-sends/{taken['id']}")).json()
    assert (view["notify"], view["notice_of"]) == (None, None)
    order = door.temporal.started[taken["workflow_id"]]
    assert (order.tell_delay, order.tell_each, order.tell_end) == (False, False, False)


async def test_what_is_left_out_of_notify_is_filled_in_and_shown(door: Door) -> None:
    taken = (await door.send(notify={"to": ME})).json()
    view = (await door.http.get(f"/v1/bulk-sends/{taken['id']}")).json()
    assert view["notify"] == {
        "to": [{"email": "me@shop.example", "name": "Me"}],
        "on": ["failure"],
        "mode": "digest",
    }


@pytest.mark.parametrize(
    ("notify", "delay", "each", "end"),
    [
        ({}, False, False, True),
        ({"mode": "each"}, False, True, True),
        ({"mode": "none"}, False, False, False),
        ({"on": ["delay"]}, True, False, False),
        ({"on": ["delay"], "mode": "each"}, True, False, False),
        ({"on": ["completion", "completion"]}, False, False, True),
        ({"on": ["completion"], "mode": "each"}, False, False, True),
        ({"on": ["failure", "delay"], "mode": "each"}, True, True, True),
    ],
)
async def test_the_workflow_learns_what_to_tell_but_not_whom(
    door: Door, notify: dict[str, Any], delay: bool, each: bool, end: bool
) -> None:
    taken = (await door.send(notify={"to": [ME, "you@shop.example"], **notify})).json()
    order = door.temporal.started[taken["workflow_id"]]
    assert (order.tell_delay, order.tell_each, order.tell_end) == (delay, each, end)
    assert "shop.example" not in order.model_dump_json()


async def test_an_open_send_takes_its_wishes_along_when_it_is_started(door: Door) -> None:
    bulk_id = await door.open(notify={"to": ME, "on": ["delay"]})
    await door.upload(bulk_id, '{"to": "ada@example.com"}', "application/x-ndjson")
    started = (await door.http.post(f"/v1/bulk-sends/{bulk_id}/start")).json()
    assert door.temporal.started[started["workflow_id"]].tell_delay


@pytest.mark.parametrize(
    ("notify", "pointer"),
    [
        ({}, "#/notify/to"),
        ({"to": None}, "#/notify/to"),
        ({"to": []}, "#/notify/to"),
        ({"to": "nobody"}, "#/notify/to"),
        ({"to": [ME, "nobody"]}, "#/notify/to/1"),
        ({"to": ["x\r\nBcc: y@example.com"]}, "#/notify/to/0"),
        ({"to": [ME] * 11}, "#/notify/to"),
        ({"to": ME, "on": []}, "#/notify/on"),
        ({"to": ME, "on": ["joy"]}, "#/notify/on/0"),
        ({"to": ME, "on": "failure"}, "#/notify/on"),
        ({"to": ME, "mode": "loud"}, "#/notify/mode"),
        ({"to": ME, "notice_of": "x"}, "#/notify/notice_of"),
        ("me@shop.example", "#/notify"),
    ],
)
async def test_a_wrong_field_is_named(door: Door, notify: Any, pointer: str) -> None:
    answer = await door.send(notify=notify)
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_nobody_can_make_a_notice_by_request(door: Door) -> None:
    answer = await door.send(notice_of="bulk_01")
    assert [one["pointer"] for one in answer.json()["errors"]] == ["#/notice_of"]
