"""`PATCH /v1/bulk-sends/{id}` and several relays over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api import following
from api.dependencies import ApiConfig
from postwerk.archive import lanes, pace
from postwerk.archive.audit import audit_entries
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.lanes import LaneUse, Refusal
from postwerk.rules.cooling import Cooling
from postwerk.rules.pace import Rate
from tests.support.api import Door, open_door

CONFIG = ApiConfig(
    relay="default",
    relay_server="mail.example.com:587",
    relay_rate="1000/h",
    relays={"backup": "backup.example.com:25", "bulk": "bulk.example.com:25"},
)
KNOWN = "known are default, backup, bulk"


@pytest.fixture
async def door(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(following, "OPTIONS_KNOWN", 0.01)
    monkeypatch.setattr(following, "AGAIN", 0.01)
    async with open_door(archive, CONFIG) as opened:
        yield opened
        await opened.parts.close()


async def a_send(door: Door, **fields: Any) -> str:
    answer = await door.send(**fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def a_running_send(door: Door, **fields: Any) -> str:
    bulk_id = await a_send(door, **fields)
    async with door.archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET state = 'running'"))
    return bulk_id


async def get(door: Door, path: str) -> dict[str, Any]:
    answer = await door.http.get(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def patch(door: Door, bulk_id: str, **fields: Any) -> dict[str, Any]:
    headers = {"postwerk-user": "ada"}
    answer = await door.http.patch(f"/v1/bulk-sends/{bulk_id}", json=fields, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def changes_of(door: Door, bulk_id: str) -> int:
    async with door.archive.reading() as connection:
        found = await connection.execute(
            text("SELECT changes FROM bulk_send WHERE id = :id"), {"id": bulk_id}
        )
        return int(found.scalar_one())


async def all_followed(door: Door) -> None:
    async with asyncio.timeout(20):
        while door.parts.follower._tasks:
            await asyncio.sleep(0.01)


def woken(door: Door) -> list[tuple[str, str]]:
    return [one for one in door.temporal.signalled if one[1] == "look_again"]


# Which relay


async def test_a_bulk_send_names_its_relay(door: Door) -> None:
    for given, shown in ((None, "default"), ("default", "default"), ("backup", "backup")):
        bulk_id = await a_send(door, relay=given)
        assert (await get(door, f"/v1/bulk-sends/{bulk_id}"))["relay"] == shown


async def test_an_unknown_relay_is_refused_and_the_known_ones_are_named(door: Door) -> None:
    bulk_id = await a_send(door)
    for answer in (
        await door.send(relay="bakup"),
        await door.http.patch(f"/v1/bulk-sends/{bulk_id}", json={"relay": "bakup"}),
    ):
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["pointer"], error["code"]) == ("#/relay", "unknown_relay")
        assert KNOWN in error["detail"]


# Changes


async def test_every_field_is_changed_and_put_back_to_its_default(door: Door) -> None:
    bulk_id = await a_running_send(door, rate="5/s", name="spring")
    after = await patch(
        door, bulk_id, rate="600/min", retry={"waits": ["1m", "5m"]}, relay="backup", name="autumn"
    )
    assert (after["rate"], after["relay"], after["name"]) == ("600/min", "backup", "autumn")
    assert after["retry"]["waits"] == [60.0, 300.0]
    assert await changes_of(door, bulk_id) == 1

    back = await patch(door, bulk_id, rate=None, retry=None, relay=None, name=None)
    assert (back["rate"], back["relay"], back["name"]) == (None, "default", "")
    assert (back["retry"]["waits"], back["retry"]["initial"]) == ([], 300.0)
    assert back == await get(door, f"/v1/bulk-sends/{bulk_id}")
    assert await changes_of(door, bulk_id) == 2


async def test_a_preset_is_named_as_in_a_new_request(door: Door) -> None:
    bulk_id = await a_running_send(door)
    assert (await patch(door, bulk_id, retry="postfix"))["retry"]["maximum"] == 4000.0


async def test_what_is_not_named_stays(door: Door) -> None:
    bulk_id = await a_running_send(door, rate="5/s", relay="bulk", on_ambiguous="stop", deadline="2d")
    before = await get(door, f"/v1/bulk-sends/{bulk_id}")
    after = await patch(door, bulk_id, rate="6/s")
    assert after | {"rate": "5/s", "waits_for": None} == before | {"waits_for": None}


async def test_a_change_stands_in_the_audit_trail_with_old_and_new(door: Door) -> None:
    bulk_id = await a_running_send(door, rate="5/s")
    await patch(door, bulk_id, rate="6/s", relay="backup", reason="the first is full")
    await patch(door, bulk_id, rate="6/s")  # nothing changes by that
    async with door.archive.reading() as connection:
        [entry] = await audit_entries(connection, action="bulk.change")
    assert (entry.by, entry.target, entry.reason) == ("ada", bulk_id, "the first is full")
    assert entry.details == {"rate": ["5/s", "6/s"], "relay": ["default", "backup"]}
    assert await changes_of(door, bulk_id) == 1


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"rate": "fast"}, "#/rate", "invalid_rate"),
        ({"rate": 5}, "#/rate", "string_type"),
        ({"retry": "sendmail"}, "#/retry/preset", "literal_error"),
        ({"retry": {"waits": ["soon"]}}, "#/retry/waits/0", None),
        ({"retry": {"waits": []}}, "#/retry/waits", "too_short"),
        ({"relay": ""}, "#/relay", "unknown_relay"),
        ({"name": "a\x00b"}, "#/name", "invalid_name"),
        ({"name": "x" * 201}, "#/name", "string_too_long"),
        ({"rate": "5/s", "reason": " "}, "#/reason", "invalid_text"),
        ({"rate": "5/s", "reason": "a\nb"}, "#/reason", "invalid_text"),
        ({"rate": "5/s", "reason": ""}, "#/reason", "string_too_short"),
        ({"subject": "new"}, "#/subject", "unknown_field"),
    ],
)
async def test_what_cannot_be_meant_is_named_and_changes_nothing(
    door: Door, fields: dict[str, Any], pointer: str, code: str | None
) -> None:
    bulk_id = await a_running_send(door)
    answer = await door.http.patch(f"/v1/bulk-sends/{bulk_id}", json={"rate": "1/s"} | fields)
    assert answer.status_code == 422, answer.text
    error = answer.json()["errors"][0]
    assert error["pointer"] == pointer
    assert code in (None, error["code"])
    assert await changes_of(door, bulk_id) == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{}", 422, "nothing_to_change"),
        (b'{"reason": "why not"}', 422, "nothing_to_change"),
        (b"[]", 422, "invalid_type"),
        (b"{", 400, None),
        (b"", 400, None),
        (b"x" * 70_000, 413, None),
    ],
)
async def test_what_is_no_change_is_refused(door: Door, body: bytes, status: int, code: str | None) -> None:
    bulk_id = await a_running_send(door)
    answer = await door.http.patch(f"/v1/bulk-sends/{bulk_id}", content=body)
    assert answer.status_code == status
    assert code in (None, answer.json()["code"])


@pytest.mark.parametrize("state", ["cancelling", "cancelled", "completed", "failed"])
async def test_what_has_ended_is_a_conflict(door: Door, state: str) -> None:
    bulk_id = await a_send(door)
    async with door.archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET state = :state"), {"state": state})
    answer = await door.http.patch(f"/v1/bulk-sends/{bulk_id}", json={"rate": "1/s"})
    assert answer.status_code == 409
    assert state in answer.json()["detail"]
    missing = await door.http.patch(f"/v1/bulk-sends/bulk_{'0' * 26}", json={"rate": "1/s"})
    assert missing.status_code == 404


async def test_an_open_or_a_paused_send_is_changed_too(door: Door) -> None:
    bulk_id = await door.open()
    assert (await patch(door, bulk_id, relay="backup"))["relay"] == "backup"
    paused = await a_send(door)
    async with door.archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET state = 'paused' WHERE id = :id"), {"id": paused})
    assert (await patch(door, paused, rate="1/s"))["rate"] == "1/s"


# What follows


async def test_what_may_go_sooner_wakes_the_batches_of_this_send_alone(door: Door) -> None:
    bulk_id = await a_running_send(door, rate="1/s")
    for fields in ({"rate": "2/s"}, {"relay": "backup"}, {"retry": "postfix"}, {"rate": None}):
        before = len(woken(door))
        await patch(door, bulk_id, **fields)
        await all_followed(door)
        assert woken(door)[before:] == [(f"bulk-{bulk_id}", "look_again")]


async def test_what_makes_nothing_sooner_wakes_nobody(door: Door) -> None:
    bulk_id = await a_running_send(door, rate="2/s")
    for fields in ({"rate": "1/s"}, {"name": "autumn"}, {"relay": "default"}):
        await patch(door, bulk_id, **fields)
    assert door.parts.follower._tasks == {}
    assert woken(door) == []


async def test_temporal_away_loses_neither_the_change_nor_the_waking(door: Door) -> None:
    bulk_id = await a_running_send(door, rate="1/s")
    door.temporal.away = True
    assert (await patch(door, bulk_id, rate="2/s"))["rate"] == "2/s"
    await asyncio.sleep(0.1)  # several tries in vain
    assert woken(door) == []
    door.temporal.away = False
    await all_followed(door)
    assert woken(door) == [(f"bulk-{bulk_id}", "look_again")]


async def test_a_faster_rate_leaves_nothing_of_the_old_pace(door: Door) -> None:
    bulk_id = await a_running_send(door, rate="2/h")
    far = to_microseconds(datetime.now(UTC) + timedelta(hours=1))
    scope = pace.bulk_scope(bulk_id, Rate.parse("100/s"))
    async with door.archive.writing() as connection:
        await connection.execute(
            text("INSERT INTO pace (scope, tat, queue_tat) VALUES (:scope, :far, :far)"),
            {"scope": scope, "far": far},  # it had been that fast before, and was slowed down
        )
    await patch(door, bulk_id, rate="100/s")
    async with door.archive.reading() as connection:
        query = text("SELECT tat, queue_tat FROM pace WHERE scope = :scope")
        tat, queue_tat = (await connection.execute(query, {"scope": scope})).one()
    assert tat <= to_microseconds(datetime.now(UTC)) + 10_000
    assert queue_tat == 0


async def test_refusals_of_one_relay_are_no_reason_to_pause_at_the_next(door: Door) -> None:
    bulk_id = await a_running_send(door)
    async with door.archive.writing() as connection:
        await connection.execute(text("UPDATE bulk_send SET config_errors = 9"))
    await patch(door, bulk_id, relay="backup")
    async with door.archive.reading() as connection:
        assert (await connection.execute(text("SELECT config_errors FROM bulk_send"))).scalar_one() == 0


async def test_deferred_messages_wait_by_the_new_schedule(door: Door) -> None:
    bulk_id = await a_running_send(door, retry={"initial": "2h", "maximum": "2h"})
    now = to_microseconds(datetime.now(UTC))
    async with door.archive.writing() as connection:
        await connection.execute(
            text("""
                UPDATE message SET state = 'deferred', attempts = 1, deferrals = 1, changed_at = :now,
                    next_attempt_at = :later, last_reason = 'mailbox_full', last_stage = 'rcpt',
                    last_code = 452, last_enhanced = '4.2.2', last_text = 'mailbox full'
            """),
            {"now": now, "later": now + 7_200_000_000},
        )
    await patch(door, bulk_id, retry={"waits": ["10m"], "jitter": 0})
    await all_followed(door)
    message = await get(door, f"/v1/messages/{bulk_id}.1")
    refused_at = datetime.fromisoformat(message["changed_at"])
    assert datetime.fromisoformat(message["next_attempt_at"]) - refused_at == timedelta(minutes=10)


# Lanes and relays


async def test_each_relay_has_its_own_lanes(door: Door) -> None:
    refusal = Refusal("421 4.7.0 slow down", "rate_limited")
    async with door.archive.writing() as connection:
        now = datetime.now(UTC)
        await lanes.rate_refused(connection, "backup", "gmail.com", refusal, Cooling(), now)
        await lanes.report_use(connection, "backup", "w", [LaneUse("gmx.net", 2, 1.0)], now)
    rests = await get(door, "/v1/lanes/gmail.com?relay=backup")
    assert (rests["state"], rests["relay"]["name"]) == ("cooling_down", "backup")
    assert rests["links"]["self"].endswith("/v1/lanes/gmail.com?relay=backup")
    assert (await get(door, "/v1/lanes/gmail.com"))["state"] == "free"

    found = await get(door, "/v1/lanes?relay=backup")
    assert {one["lane"] for one in found["data"]} == {"gmail.com", "gmx.net"}
    assert found["relay"]["server"] == "backup.example.com:25"
    assert found["relays"] == ["default", "backup", "bulk"]
    default = await get(door, "/v1/lanes")
    assert (default["data"], default["relay"]["name"]) == ([], "default")


async def test_an_order_is_for_one_relay(door: Door) -> None:
    order = {"rate": "1/s", "reason": "trial"}
    set_ = (await door.http.put("/v1/lanes/gmail.com?relay=backup", json=order)).json()
    assert set_["limits"]["rate"]["value"] == "1/s"
    assert (await get(door, "/v1/lanes/gmail.com"))["limits"]["rate"]["value"] is None

    rest = {"cool_down": "1h", "reason": "new certificates"}
    rests = (await door.http.put("/v1/relay?relay=backup", json=rest)).json()
    assert (rests["name"], rests["state"]) == ("backup", "cooling_down")
    assert (await get(door, "/v1/relay?relay=backup"))["state"] == "cooling_down"
    assert (await get(door, "/v1/relay?relay=default"))["state"] == "working"


@pytest.mark.parametrize("path", ["/v1/lanes", "/v1/lanes/gmail.com", "/v1/relay"])
async def test_an_unknown_relay_has_no_lanes(door: Door, path: str) -> None:
    answer = await door.http.get(f"{path}?relay=bakup")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?relay"
    assert KNOWN in answer.json()["detail"]


async def test_mail_is_counted_where_it_goes(door: Door) -> None:
    await a_running_send(door, relay="backup", recipients=[{"to": f"a{n}@gmail.com"} for n in range(3)])
    await a_running_send(door, recipients=[{"to": "ada@gmail.com"}])
    assert (await get(door, "/v1/lanes/gmail.com"))["queued"] == 1
    assert (await get(door, "/v1/lanes/gmail.com?relay=backup"))["queued"] == 3


async def test_a_send_waits_for_its_own_relay(door: Door) -> None:
    over_backup, over_default = await a_running_send(door, relay="backup"), await a_running_send(door)
    async with door.archive.writing() as connection:
        await lanes.session_failed(
            connection,
            "backup",
            Refusal("connection refused", "no_connection"),
            Cooling(),
            datetime.now(UTC),
            our_fault=False,
        )
    listed = {one["id"]: one["waits_for"] for one in (await get(door, "/v1/bulk-sends"))["data"]}
    assert listed[over_backup]["reason"] == "relay_down"
    assert listed[over_default]["reason"] == "paced"
    message = await get(door, f"/v1/messages/{over_backup}.1")
    assert message["waits_for"]["reason"] == "relay_down"


async def test_a_relay_that_the_settings_name_no_more_is_why_it_waits(archive: Archive) -> None:
    async with open_door(archive, CONFIG) as before:
        bulk_id = await a_running_send(before, relay="bulk")
    async with open_door(archive, ApiConfig(relay="default")) as door:
        waits = (await get(door, f"/v1/bulk-sends/{bulk_id}"))["waits_for"]
        assert waits["reason"] == "unknown_relay"
        assert "no relay bulk" in waits["detail"]
        assert (await patch(door, bulk_id, relay=None))["relay"] == "default"
        await door.parts.close()
