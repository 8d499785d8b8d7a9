"""API keys by HTTP: made, shown once, used, limited, rotated, revoked; and what they leave behind."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from postwerk.archive import api_keys
from postwerk.archive.audit import audit_entries
from postwerk.archive.engine import Archive
from tests.support.api import a_bulk_send, open_door
from tests.support.keys import (
    a_key,
    caller,
    problem_of,
)


async def test_a_key_is_shown_once_and_stored_nowhere(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_door(archive) as door:
        ops = await a_key(archive, "admin", name="ops")
        async with caller(door, ops.text, **{"postwerk-user": "ada"}) as http:
            wish = {"name": "shop", "scopes": ["send"], "domains": ["Shop.example"], "quota": "10000/d"}
            made = (await http.post("/v1/api-keys", json=wish | {"expires": "90d"})).json()
            shown = (await http.get(f"/v1/api-keys/{made['id']}")).json()
            listed = (await http.get("/v1/api-keys")).json()
            audit = (await http.get("/v1/audit")).json()["data"]
        await door.parts.close()
    assert {name: value for name, value in made.items() if name not in ("key", "quota_left")} == {
        name: value for name, value in shown.items() if name != "quota_left"
    }
    assert shown["quota_left"] == 10_000
    assert shown["domains"] == ["shop.example"]
    assert "key" not in shown
    assert [one["id"] for one in listed["data"]] == [made["id"], ops.key.id]
    assert (audit[0]["action"], audit[0]["by"], audit[0]["target"]) == ("key.create", "ops (ada)", made["id"])
    secret = made["key"][14:]
    for text in (str(shown), str(listed), str(audit), caplog.text, await _everything(archive), repr(ops)):
        assert secret not in text
        assert ops.text[14:] not in text


async def _everything(archive: Archive) -> str:
    """Every column of the tables that keys come near."""
    async with archive.reading() as connection:
        found = [await connection.exec_driver_sql(f"SELECT * FROM {t}") for t in ("api_key", "audit")]
        return str([row for result in found for row in result.all()])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/name"),
        ({"name": "x", "scopes": []}, "#/scopes"),
        ({"name": "x", "scopes": ["root"]}, "#/scopes/0"),
        ({"name": "a (b)", "scopes": ["send"]}, "#/name"),
        ({"name": "x", "scopes": ["send"], "domains": ["-"]}, "#/domains/0"),
        ({"name": "x", "scopes": ["send"], "quota": "100/s"}, "#/quota"),
        ({"name": "x", "scopes": ["send"], "expires": "never"}, "#/expires"),
        ({"name": "x", "scopes": ["send"], "owner": "key_1"}, "#/owner"),
        ({"name": "x", "scopes": ["send"], "digest": "00"}, "#/digest"),
    ],
)
async def test_a_wish_that_cannot_be_taken_names_the_field(
    archive: Archive, body: dict[str, Any], pointer: str
) -> None:
    async with open_door(archive) as door:
        answer = await door.http.post("/v1/api-keys", json=body)
        listed = (await door.http.get("/v1/api-keys")).json()["data"]
    assert answer.status_code == 422
    assert pointer in [one["pointer"] for one in answer.json()["errors"]]
    assert listed == []


async def test_what_is_revoked_is_refused_at_once_and_elsewhere_within_a_second(archive: Archive) -> None:
    ops, shop = await a_key(archive, "admin"), await a_key(archive, "send")
    async with open_door(archive) as here, open_door(archive) as there:
        async with caller(here, shop.text) as first, caller(there, shop.text) as second:
            assert [(await http.get("/v1/bulk-sends")).status_code for http in (first, second)] == [200, 200]
            async with caller(here, ops.text) as http:
                gone = await http.delete(f"/v1/api-keys/{shop.key.id}")
                again = await http.delete(f"/v1/api-keys/{shop.key.id}")
            revoked_at = time.monotonic()
            assert (await first.get("/v1/bulk-sends")).status_code == 401
            while (await second.get("/v1/bulk-sends")).status_code == 200:
                assert time.monotonic() < revoked_at + 1.5
        await here.parts.close()
        await there.parts.close()
    assert gone.json()["state"] == again.json()["state"] == "revoked"
    assert gone.json()["revoked_at"] == again.json()["revoked_at"]


async def test_a_new_key_follows_the_old_one_and_sees_its_sends(archive: Archive) -> None:
    ops = await a_key(archive, "admin")
    old = await a_key(archive, "send", name="shop", quota="3/d", domains=("shop.example",))
    async with open_door(archive) as door:
        async with caller(door, old.text) as http:
            bulk_id = (await http.post("/v1/bulk-sends", json=a_bulk_send())).json()["id"]
        async with caller(door, ops.text) as http:
            path = f"/v1/api-keys/{old.key.id}/rotate"
            made = await http.post(path, json={"grace": "1h"})
            problem_of(await http.post(path), 409, "conflict")
            before = (await http.get(f"/v1/api-keys/{old.key.id}")).json()
        new = made.json()
        assert made.status_code == 201
        assert [new[name] for name in ("name", "scopes", "domains", "quota", "rotates", "owner")] == [
            *("shop", ["send"], ["shop.example"], "3/d", old.key.id, old.key.id)
        ]
        left = datetime.fromisoformat(before["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < left <= timedelta(hours=1)
        for key in (old.text, new["key"]):
            async with caller(door, key) as http:
                assert (await http.get(f"/v1/bulk-sends/{bulk_id}")).status_code == 200
        three = a_bulk_send(recipients=[{"to": f"u{n}@example.com"} for n in range(3)])
        async with caller(door, new["key"]) as http:
            problem_of(await http.post("/v1/bulk-sends", json=three), 429, "quota_exceeded")
        await door.parts.close()


async def test_a_rotation_without_grace_ends_the_old_key_now(archive: Archive) -> None:
    ops = await a_key(archive, "admin")
    old = await a_key(archive, "send", expires_at=datetime.now(UTC) + timedelta(days=30))
    async with open_door(archive) as door:
        async with caller(door, ops.text) as http:
            new = (await http.post(f"/v1/api-keys/{old.key.id}/rotate", json={"grace": 0})).json()
        async with caller(door, old.text) as http:
            assert (await http.get("/v1/bulk-sends")).status_code == 401
        await door.parts.close()
    assert old.key.expires_at is not None
    assert datetime.fromisoformat(new["expires_at"]) - old.key.expires_at < timedelta(minutes=1)  # as before


async def test_a_key_is_changed_and_the_change_is_in_force(archive: Archive) -> None:
    ops, shop = await a_key(archive, "admin", name="ops"), await a_key(archive, "send", name="shop")
    async with open_door(archive) as door:
        async with caller(door, shop.text) as sender, caller(door, ops.text) as http:
            assert (await sender.post("/v1/bulk-sends", json=a_bulk_send())).status_code == 202
            path = f"/v1/api-keys/{shop.key.id}"
            changed = await http.patch(
                path, json={"domains": ["other.example"], "quota": "5/h", "name": "new"}
            )
            refused = await sender.post("/v1/bulk-sends", json=a_bulk_send())
            taken = await http.patch(path, json={"name": "ops"})
            open_again = await http.patch(path, json={"domains": None, "quota": None})
            assert (await sender.post("/v1/bulk-sends", json=a_bulk_send())).status_code == 202
        await door.parts.close()
    assert [changed.json()[name] for name in ("name", "domains", "quota")] == [
        "new",
        ["other.example"],
        "5/h",
    ]
    problem_of(refused, 403, "from_domain_not_allowed")
    problem_of(taken, 409, "conflict")
    assert [open_again.json()[name] for name in ("domains", "quota", "name")] == [None, None, "new"]


async def test_only_who_steers_may_speak_for_others(archive: Archive) -> None:
    ops, shop = await a_key(archive, "operate", name="ops"), await a_key(archive, "send", name="shop")
    async with open_door(archive) as door:
        for key in (ops.text, shop.text):
            async with caller(door, key, **{"postwerk-user": "ada"}) as http:
                made = await caller(door, shop.text).post("/v1/bulk-sends", json=a_bulk_send())
                answer = await http.post(
                    f"/v1/bulk-sends/{made.json()['id']}/pause", json={"reason": "wrong price"}
                )
                assert answer.status_code == 202, answer.text
        async with caller(door, ops.text) as http:
            order = {"rate": "1/s", "reason": "too fast", "by": "zoe"}
            lane = await http.put("/v1/lanes/gmail.com", json=order)
            assert lane.status_code == 200, lane.text
        await door.parts.close()
    async with archive.reading() as connection:
        signed = [one.by for one in await audit_entries(connection) if one.action != "key.create"]
    assert signed == ["ops (zoe)", "shop", "ops (ada)"]


async def test_the_last_use_is_noted_at_most_once_a_minute(archive: Archive) -> None:
    shop = await a_key(archive, "read")
    async with open_door(archive) as door, caller(door, shop.text) as http:
        for _ in range(3):
            await http.get("/v1/version")
        await door.parts.keys.close()
        first = await _last_use(archive, shop.key.id)
        await http.get("/v1/version")
        await door.parts.close()
    assert first is not None
    assert await _last_use(archive, shop.key.id) == first
    async with archive.writing() as connection:
        await api_keys.note_use(connection, shop.key.id, first + timedelta(seconds=59))
    assert await _last_use(archive, shop.key.id) == first
    async with archive.writing() as connection:
        await api_keys.note_use(connection, shop.key.id, first + timedelta(seconds=60))
    assert await _last_use(archive, shop.key.id) == first + timedelta(seconds=60)


async def _last_use(archive: Archive, key_id: str) -> datetime | None:
    async with archive.reading() as connection:
        return (await api_keys.api_key(connection, key_id)).last_used_at
