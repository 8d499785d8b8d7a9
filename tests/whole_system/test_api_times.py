"""`send_at`, `expires_at` and `window` over HTTP: taken, refused, changed, told."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api import bulk_orders, following
from api.reconciler import Reconciler
from postwerk.archive.audit import audit_entries
from postwerk.archive.engine import Archive
from tests.support.api import Door, a_bulk_send, open_door

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)
WINDOW = {"days": ["mon", "fri"], "start": "09:00", "end": "18:00", "time_zone": "Europe/Berlin"}


@pytest.fixture
async def door(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(following, "OPTIONS_KNOWN", 0.01)
    monkeypatch.setattr(bulk_orders, "NOTED_WITHIN", 0.1)
    async with open_door(archive) as opened:
        yield opened
        await opened.parts.close()


def ahead(wait: timedelta) -> str:
    return (datetime.now(UTC) + wait).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def taken(door: Door, **fields: Any) -> str:
    answer = await door.send(**fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def view(door: Door, bulk_id: str) -> dict[str, Any]:
    return dict((await door.http.get(f"/v1/bulk-sends/{bulk_id}")).raise_for_status().json())


async def patch(door: Door, bulk_id: str, **fields: Any) -> Any:
    return await door.http.patch(f"/v1/bulk-sends/{bulk_id}", json=fields)


async def begun(door: Door) -> None:
    async with door.archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET state = 'running', started_at = accepted_at"))


async def test_a_send_that_begins_later_is_scheduled(door: Door) -> None:
    send_at = ahead(30 * DAY)
    answer = (await door.send(send_at=send_at)).json()
    assert (answer["status"], answer["suppressed"]) == ("scheduled", None)
    order = door.temporal.started[answer["workflow_id"]]
    assert (order.send_at, order.batches) == (moment(send_at), None)
    shown = await view(door, answer["id"])
    assert (shown["state"], shown["send_at"]) == ("scheduled", send_at)
    assert moment(shown["deadline"]) == moment(send_at) + 5 * DAY
    assert (shown["waits_for"]["reason"], shown["waits_for"]["until"]) == ("scheduled", send_at)
    listed = await door.http.get("/v1/bulk-sends?state=scheduled")
    assert [one["id"] for one in listed.json()["data"]] == [answer["id"]]
    messages = (await door.http.get(f"/v1/bulk-sends/{answer['id']}/messages")).json()["data"]
    assert [one["waits_for"]["reason"] for one in messages] == ["scheduled"]
    mail = await door.http.get(f"/v1/messages/{answer['id']}.1/content")
    assert moment(send_at).strftime("Date: %a, %d %b %Y %H:%M:%S +0000") in mail.text


@pytest.mark.parametrize("send_at", ["2001-01-01T00:00:00Z", None])
async def test_what_was_to_begin_in_the_past_begins_now(door: Door, send_at: str | None) -> None:
    answer = (await door.send(send_at=send_at)).json()
    assert answer["status"] == "queued"
    assert door.temporal.started[answer["workflow_id"]].send_at is None
    assert (await view(door, answer["id"]))["send_at"] is None


@pytest.mark.parametrize(
    ("field", "value", "pointer", "code"),
    [
        ("send_at", "2031-12-01T08:00:00", "#/send_at", "invalid_moment"),
        ("send_at", "tomorrow", "#/send_at", "invalid_moment"),
        ("send_at", "2031-13-01T08:00:00Z", "#/send_at", "invalid_moment"),
        ("send_at", "9999-12-31T23:59:59-12:00", "#/send_at", "invalid_moment"),
        ("send_at", "2036-12-01T08:00:00Z", "#/send_at", "out_of_range"),
        ("expires_at", "2001-01-01T00:00:00Z", "#/expires_at", "out_of_range"),
        ("window", WINDOW | {"start": "9"}, "#/window/start", "invalid_time"),
        ("window", WINDOW | {"end": "24:01"}, "#/window/end", "invalid_time"),
        ("window", WINDOW | {"end": "09:00"}, "#/window/end", "empty_window"),
        ("window", WINDOW | {"start": "24:00"}, "#/window/end", "empty_window"),
        ("window", WINDOW | {"time_zone": "Europe/Bielefeld"}, "#/window/time_zone", "unknown_time_zone"),
        ("window", WINDOW | {"days": []}, "#/window/days", "too_short"),
        ("window", WINDOW | {"days": ["Monday"]}, "#/window/days/0", "enum"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_place(
    door: Door, field: str, value: Any, pointer: str, code: str
) -> None:
    answer = await door.send(**{field: value})
    assert answer.status_code == 422
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]
    assert door.temporal.started == {}


async def test_it_expires_after_it_begins(door: Door) -> None:
    answer = await door.send(send_at=ahead(3 * DAY), expires_at=ahead(2 * DAY))
    assert answer.json()["errors"][0]["pointer"] == "#/expires_at"
    bulk_id = await taken(door, send_at=ahead(3 * DAY), expires_at=(expires_at := ahead(4 * DAY)))
    shown = await view(door, bulk_id)
    assert shown["deadline"] == shown["expires_at"] == expires_at


@pytest.mark.parametrize("dry_run", ["", "?dry_run=true"])
async def test_a_window_that_does_not_open_in_its_time_is_refused(door: Door, dry_run: str) -> None:
    friday_night = {"send_at": "2030-01-04T19:00:00+01:00", "deadline": "2d", "window": WINDOW}
    answer = await door.http.post(f"/v1/bulk-sends{dry_run}", json=a_bulk_send(**friday_night))
    assert answer.status_code == 422
    assert (answer.json()["errors"][0]["pointer"], answer.json()["code"]) == ("#/window", "never_open")
    friday_night["deadline"] = "3d"
    answer = await door.http.post(f"/v1/bulk-sends{dry_run}", json=a_bulk_send(**friday_night))
    assert answer.status_code in (200, 202), answer.text


async def test_an_open_send_says_when_it_begins_as_it_is_started(door: Door) -> None:
    send_at = ahead(10 * DAY)
    for body, wanted in (({"send_at": send_at}, send_at), (None, ahead(DAY)), ({"send_at": None}, None)):
        first = wanted if body is None else ahead(2 * DAY)
        bulk_id = await taken(door, open=True, send_at=first)
        assert (await view(door, bulk_id))["state"] == "open"
        answer = await door.http.post(f"/v1/bulk-sends/{bulk_id}/start", json=body)
        assert answer.status_code == 202, answer.text
        shown = answer.json()
        assert (shown["state"], shown["send_at"]) == ("scheduled" if wanted else "queued", wanted)
        again = await door.http.post(f"/v1/bulk-sends/{bulk_id}/start", json={"send_at": ahead(DAY * 99)})
        assert again.json()["send_at"] == wanted


async def test_times_are_changed_before_it_has_begun(door: Door) -> None:
    bulk_id = await taken(door, send_at=ahead(30 * DAY))
    moved, expires = ahead(3 * DAY), ahead(5 * DAY)
    answer = await patch(door, bulk_id, send_at=moved, expires_at=expires, window=WINDOW, deadline="4d")
    assert answer.status_code == 200, answer.text
    shown = await view(door, bulk_id)
    assert (shown["send_at"], shown["expires_at"], shown["window"]) == (moved, expires, WINDOW)
    assert shown["deadline"] == expires
    told = [name for _, name in door.temporal.signalled]
    assert told[:3] == ["set_beginning", "set_expiry", "set_deadline"]
    async with door.archive.reading() as connection:
        [entry] = await audit_entries(connection, limit=1)
    assert entry.details is not None
    assert entry.details["window"] == [None, "mon,fri 09:00-18:00 Europe/Berlin"]
    back = (await patch(door, bulk_id, expires_at=None, window=None)).json()
    assert (back["expires_at"], back["window"]) == (None, None)
    assert moment(back["deadline"]) == moment(moved) + 4 * DAY


async def test_what_has_begun_cannot_begin_later(door: Door) -> None:
    bulk_id = await taken(door)
    await begun(door)
    answer = await patch(door, bulk_id, send_at=ahead(DAY))
    assert answer.status_code == 409
    assert (await patch(door, bulk_id, send_at=None)).status_code == 200
    assert door.temporal.signalled == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"expires_at": "2001-01-01T00:00:00Z"}, "#/expires_at"),
        ({"window": WINDOW | {"time_zone": "Mars"}}, "#/window/time_zone"),
        ({"send_at": "now"}, "#/send_at"),
    ],
)
async def test_a_wrong_change_changes_nothing(door: Door, fields: dict[str, Any], pointer: str) -> None:
    bulk_id = await taken(door, send_at=ahead(3 * DAY))
    before = await view(door, bulk_id)
    answer = await patch(door, bulk_id, **fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await view(door, bulk_id) == before
    assert door.temporal.signalled == []


async def test_to_move_a_beginning_needs_temporal(door: Door) -> None:
    bulk_id = await taken(door, send_at=ahead(3 * DAY))
    door.temporal.away = True
    before = (await view(door, bulk_id))["send_at"]
    assert (await patch(door, bulk_id, send_at=ahead(DAY))).status_code == 503
    assert (await view(door, bulk_id))["send_at"] == before


async def test_a_scheduled_send_is_paused_resumed_and_cancelled(door: Door) -> None:
    bulk_id = await taken(door, send_at=ahead(3 * DAY))
    path = f"/v1/bulk-sends/{bulk_id}"
    paused = await door.http.post(f"{path}/pause", json={"reason": "wait"})
    assert (paused.json()["state"], paused.json()["waits_for"]["reason"]) == ("paused", "held")
    door.temporal.started.clear()  # Temporal has lost it
    cancelled = await door.http.post(f"{path}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["counts"]["cancelled"] == 1


async def test_a_closed_window_is_what_a_running_send_waits_for(door: Door) -> None:
    now = datetime.now(UTC)
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(now + 2 * DAY).weekday()]
    window = {"days": [day], "start": "09:00", "end": "10:00", "time_zone": "UTC"}
    bulk_id = await taken(door, window=window)
    await begun(door)
    opens = (now + 2 * DAY).replace(hour=9, minute=0, second=0, microsecond=0)
    async with door.archive.writing() as connection:
        await connection.execute(
            text("UPDATE message SET state = 'deferred', next_attempt_at = 1"),
        )
    waits = (await view(door, bulk_id))["waits_for"]
    assert (waits["reason"], moment(waits["until"])) == ("outside_window", opens)
    (message,) = (await door.http.get(f"/v1/bulk-sends/{bulk_id}/messages")).json()["data"]
    assert moment(message["next_attempt_at"]) == opens
    assert message["waits_for"]["reason"] == "outside_window"


def examples() -> list[Any]:
    """The requests of docs/schedules.md."""
    page = (ROOT / "docs/schedules.md").read_text()
    blocks = re.findall(r"```json\n(POST) (\S+)\n(.*?)```", page, re.DOTALL)
    return [(path, json.loads(body)) for _, path, body in blocks]


@pytest.mark.parametrize(("path", "body"), examples(), ids=lambda one: one if isinstance(one, str) else "")
async def test_the_examples_of_the_page_are_taken(door: Door, path: str, body: dict[str, Any]) -> None:
    answer = await door.http.post(path, json=body)
    assert answer.status_code == 202, answer.text


def test_the_page_has_its_examples() -> None:
    assert [path for path, _ in examples()] == ["/v1/bulk-sends"] * 3 + ["/v1/schedules"] * 2


async def test_a_scheduled_send_without_its_workflow_gets_it(door: Door) -> None:
    door.temporal.away = True
    answer = (await door.send(send_at=ahead(3 * DAY))).json()
    assert (answer["status"], door.temporal.started) == ("scheduled", {})
    door.temporal.away = False
    reconciler = Reconciler(door.archive, door.parts.client, "q")
    await reconciler.look(datetime.now(UTC))
    order = door.temporal.started.pop(answer["workflow_id"])
    assert order.send_at == moment((await view(door, answer["id"]))["send_at"])
    await reconciler.look(datetime.now(UTC) + timedelta(minutes=6))  # lost: believed for five minutes
    assert list(door.temporal.started) == [answer["workflow_id"]]


async def test_a_scheduled_send_whose_workflow_is_terminated_ends_cancelled(door: Door) -> None:
    answer = (await door.send(send_at=ahead(3 * DAY))).json()
    door.temporal.terminated.add(answer["workflow_id"])
    reconciler = Reconciler(door.archive, door.parts.client, "q")
    await reconciler.look(datetime.now(UTC))
    await reconciler.look(datetime.now(UTC))
    assert (await view(door, answer["id"]))["state"] == "cancelled"
