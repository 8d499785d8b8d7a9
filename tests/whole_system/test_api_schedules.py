"""`/v1/schedules` over HTTP: taken, refused, changed, told to Temporal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.reconciler import STARTED_AFTER, Reconciler
from postwerk.archive.engine import Archive
from tests.support.api import Door, a_bulk_send, open_door

PATH = "/v1/schedules"


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened
        await opened.parts.close()


def a_schedule(**changes: Any) -> dict[str, Any]:
    usual = {"name": "Weekly", "spec": {"cron": "0 8 * * MON"}, "bulk_send": a_bulk_send()}
    return usual | changes


async def created(door: Door, **changes: Any) -> dict[str, Any]:
    answer = await door.http.post(PATH, json=a_schedule(**changes))
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def shown(door: Door, schedule: dict[str, Any]) -> dict[str, Any]:
    return dict((await door.http.get(f"{PATH}/{schedule['id']}")).raise_for_status().json())


async def look(door: Door, reconciler: Reconciler | None = None) -> None:
    reconciler = reconciler or Reconciler(door.archive, door.parts.client, "q")
    await reconciler.look(datetime.now(UTC) + STARTED_AFTER + timedelta(seconds=1))


async def test_a_schedule_is_stored_and_made_in_temporal(door: Door) -> None:
    made = await created(door)
    assert (made["state"], made["in_force"], made["last_at"]) == ("active", True, None)
    assert made["spec"]["cron"] == "0 8 * * mon"
    assert made["bulk_send"]["recipients"] == 1
    (in_temporal,) = door.temporal.schedules.values()
    assert in_temporal.spec.cron_expressions == ["0 8 * * mon"]
    assert (await door.http.get("/v1/bulk-sends")).json()["data"] == []
    listed = (await door.http.get(PATH)).json()["data"]
    assert [one["id"] for one in listed] == [made["id"]]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"spec": {}}, "#/spec/cron", "cron_or_every"),
        ({"spec": {"cron": "0 8 * * mon", "every": "1d"}}, "#/spec/cron", "cron_or_every"),
        ({"spec": {"cron": "0 8 * *"}}, "#/spec/cron", "invalid_cron"),
        ({"spec": {"cron": "0 25 * * *"}}, "#/spec/cron", "invalid_cron"),
        ({"spec": {"cron": "0 8 1 * mon"}}, "#/spec/cron", "invalid_cron"),
        ({"spec": {"cron": "0 8 31 2,4 *"}}, "#/spec/cron", "invalid_cron"),
        ({"spec": {"cron": "@daily"}}, "#/spec/cron", "invalid_cron"),
        ({"spec": {"every": "0.5"}}, "#/spec/every", "out_of_range"),
        ({"spec": {"every": "1d", "jitter": "2h"}}, "#/spec/jitter", "out_of_range"),
        ({"spec": {"every": "1d", "end_at": "2001-01-01T00:00:00Z"}}, "#/spec/end_at", "out_of_range"),
        ({"spec": {"every": "1d", "start_at": "soon"}}, "#/spec/start_at", "invalid_moment"),
        ({"spec": {"cron": "0 8 * * *", "time_zone": "CEST"}}, "#/spec/time_zone", "unknown_time_zone"),
        ({"bulk_send": a_bulk_send(recipients=[])}, "#/bulk_send/recipients", "missing"),
        ({"bulk_send": a_bulk_send(recipients=[{"to": "x"}])}, "#/bulk_send/recipients/0", None),
        ({"bulk_send": a_bulk_send(send_at="2027-01-01T00:00:00Z")}, "#/bulk_send/send_at", None),
        ({"bulk_send": a_bulk_send(open=True)}, "#/bulk_send/open", None),
        ({"bulk_send": a_bulk_send(rate="fast")}, "#/bulk_send/rate", None),
        ({"bulk_send": a_bulk_send(colour="red")}, "#/bulk_send/colour", "unknown_field"),
        ({"bulk_send": None}, "#/bulk_send", None),
        ({"colour": "red"}, "#/colour", "unknown_field"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_place(
    door: Door, changes: dict[str, Any], pointer: str, code: str | None
) -> None:
    answer = await door.http.post(PATH, json=a_schedule(**changes))
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["pointer"].startswith(pointer)
    assert code is None or error["code"] == code
    assert door.temporal.schedules == {}


async def test_it_is_paused_changed_resumed_and_deleted(door: Door) -> None:
    made = await created(door)
    path = f"{PATH}/{made['id']}"
    assert (await door.http.post(f"{path}/pause")).status_code == 422  # it has to say why
    paused = (await door.http.post(f"{path}/pause", json={"reason": "holidays"})).json()
    assert (paused["state"], paused["reason"], paused["next_at"]) == ("paused", "holidays", [])
    assert [one.state.note for one in door.temporal.schedules.values()] == ["holidays"]
    more = a_bulk_send(subject="Other", recipients=[{"to": f"ok+{n}@example.com"} for n in range(600)])
    changed = await door.http.patch(path, json={"spec": {"every": "2d"}, "name": "Odd", "bulk_send": more})
    assert changed.status_code == 200, changed.text
    now = changed.json()
    assert (now["name"], now["state"], now["spec"]["every"]) == ("Odd", "paused", 172800)
    assert (now["bulk_send"]["subject"], now["bulk_send"]["recipients"]) == ("Other", 600)
    assert (await door.http.post(f"{path}/resume")).json()["state"] == "active"
    assert [one.state.paused for one in door.temporal.schedules.values()] == [False]
    assert (await door.http.delete(path)).status_code == 204
    assert door.temporal.schedules == {}
    for call in ("get", "delete"):
        assert (await getattr(door.http, call)(path)).status_code == 404
    assert (await door.http.post(f"{path}/trigger")).status_code == 404
    actions = [one["action"] for one in (await door.http.get("/v1/audit")).json()["data"]]
    assert actions == [f"schedule.{one}" for one in ("delete", "resume", "change", "pause", "create")]


async def test_it_is_triggered(door: Door) -> None:
    made = await created(door)
    fired = await door.http.post(f"{PATH}/{made['id']}/trigger")
    assert fired.status_code == 202, fired.text
    order = door.temporal.started[fired.json()["workflow_id"]]
    assert (order.schedule_id, order.at is None) == (made["id"], False)
    door.temporal.away = True
    assert (await door.http.post(f"{PATH}/{made['id']}/trigger")).status_code == 503


async def test_what_temporal_did_not_hear_it_hears_from_the_reconciler(door: Door) -> None:
    door.temporal.away = True
    made = await created(door)
    assert (made["in_force"], made["next_at"]) == (False, None)
    await look(door)
    door.temporal.away = False
    await look(door)
    assert (await shown(door, made))["in_force"]
    assert len(door.temporal.schedules) == 1
    door.temporal.away = True
    assert (await door.http.delete(f"{PATH}/{made['id']}")).status_code == 204
    door.temporal.away = False
    assert len(door.temporal.schedules) == 1
    await look(door)
    assert door.temporal.schedules == {}


async def test_what_temporal_has_lost_is_made_anew(door: Door) -> None:
    await created(door)
    door.temporal.schedules.clear()
    reconciler = Reconciler(door.archive, door.parts.client, "q")
    await look(door, reconciler)
    assert len(door.temporal.schedules) == 1
    door.temporal.schedules.clear()
    await look(door, reconciler)  # not at each look: Temporal has more to do
    assert door.temporal.schedules == {}


async def test_pages(door: Door) -> None:
    made = [await created(door, name=str(n)) for n in range(3)]
    first = (await door.http.get(f"{PATH}?limit=2")).json()
    second = (await door.http.get(f"{PATH}?limit=2&after={first['next']}")).json()
    assert [one["id"] for one in (*first["data"], *second["data"])] == [one["id"] for one in made[::-1]]
    assert (first["has_more"], second["has_more"]) == (True, False)
