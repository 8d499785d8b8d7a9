"""API keys by HTTP: made, shown once, used, limited, rotated, revoked; and what they leave behind."""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from api.dependencies import ApiConfig
from postwerk.archive import api_keys
from postwerk.archive.audit import audit_entries
from postwerk.archive.engine import Archive
from postwerk.archive.reads import accounting
from tests.support.api import a_bulk_send, open_door
from tests.support.keys import (
    a_key,
    a_key_never_made,
    a_revoked_key,
    an_expired_key,
    caller,
    with_another_secret,
)

MANY = [{"to": f"user{n}@example.com"} for n in range(1200)]


async def _problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return dict(answer.json())


async def test_the_first_key_is_made_on_this_machine_and_closes_the_door_behind_it(archive: Archive) -> None:
    async with open_door(archive) as door, caller(door) as stranger:
        before = await stranger.get("/v1/bulk-sends")
        assert "postwerk keys create" in (await _problem(before, 401, "unauthorized"))["detail"]

        made = await door.http.post("/v1/api-keys", json={"name": "ops", "scopes": ["admin"]})

        assert made.status_code == 201, made.text
        assert made.headers["location"].endswith(f"/v1/api-keys/{made.json()['id']}")
        assert (await door.http.get("/v1/bulk-sends")).status_code == 401
        async with caller(door, made.json()["key"]) as ops:
            assert (await ops.get("/v1/bulk-sends")).status_code == 200
        await door.parts.close()


async def test_with_the_setting_this_machine_stays_open_but_no_wrong_key_is_taken(archive: Archive) -> None:
    async with open_door(archive, ApiConfig(open_on_loopback=True)) as door:
        await a_key(archive, "send")
        bearer = {"authorization": f"Bearer {a_key_never_made()}"}
        assert (await door.http.get("/v1/bulk-sends")).status_code == 200
        assert (await door.http.get("/v1/bulk-sends", headers=bearer)).status_code == 401
        for name in ("x-forwarded-for", "forwarded", "origin"):
            assert (await door.http.get("/v1/bulk-sends", headers={name: "127.0.0.1"})).status_code in (
                200,
                401,
            )
        proxied = await door.http.get("/v1/bulk-sends", headers={"x-forwarded-for": "127.0.0.1"})
        assert proxied.status_code == 401
        async with caller(door) as stranger:
            assert (await stranger.get("/v1/bulk-sends")).status_code == 401


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
            await _problem(await http.post(path), 409, "conflict")
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
            await _problem(await http.post("/v1/bulk-sends", json=three), 429, "quota_exceeded")
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
    await _problem(refused, 403, "from_domain_not_allowed")
    await _problem(taken, 409, "conflict")
    assert [open_again.json()[name] for name in ("domains", "quota", "name")] == [None, None, "new"]


@pytest.mark.parametrize("parameters", ["", "?dry_run=true"])
@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"from_": "a@other.example"}, "#/from"), ({"return_path": "b@sub.shop.example"}, "#/return_path")],
)
async def test_a_foreign_domain_is_refused_and_nothing_stored(
    archive: Archive, changes: dict[str, Any], pointer: str, parameters: str
) -> None:
    shop = await a_key(archive, "send", domains=("shop.example",))
    async with open_door(archive) as door, caller(door, shop.text) as http:
        answer = await http.post(f"/v1/bulk-sends{parameters}", json=a_bulk_send(**changes))
        listed = (await http.get("/v1/bulk-sends")).json()["data"]
        await door.parts.close()
    found = await _problem(answer, 403, "from_domain_not_allowed")
    assert [one["pointer"] for one in found["errors"]] == [pointer]
    assert listed == []


async def test_over_the_quota_nothing_is_stored_large_lists_neither(archive: Archive) -> None:
    shop = await a_key(archive, "send", quota="1200/d")
    async with open_door(archive) as door, caller(door, shop.text) as http:
        one = await http.post("/v1/bulk-sends", json=a_bulk_send())
        many = await http.post("/v1/bulk-sends", json=a_bulk_send(recipients=MANY))
        fewer = await http.post("/v1/bulk-sends", json=a_bulk_send(recipients=MANY[:1199]))
        last = await http.post("/v1/bulk-sends", json=a_bulk_send())
        listed = (await http.get("/v1/bulk-sends")).json()["data"]
        await door.parts.close()
    assert (one.status_code, fewer.status_code) == (202, 202)
    found = await _problem(many, 429, "quota_exceeded")
    assert "1,199 are left of 1200/d" in found["detail"]
    assert 3600 < int(many.headers["retry-after"]) <= 25 * 3600
    await _problem(last, 429, "quota_exceeded")
    assert {one["id"] for one in listed} == {one.json()["id"], fewer.json()["id"]}


async def test_a_list_in_parts_counts_when_it_is_started_all_or_nothing(archive: Archive) -> None:
    shop = await a_key(archive, "send", quota="2/h")
    lines = b"".join(b'{"to":"u%d@example.com"}\n' % n for n in range(3))
    async with open_door(archive) as door, caller(door, shop.text) as http:
        made = await http.post("/v1/bulk-sends", json=a_bulk_send(open=True, recipients=None))
        path = f"/v1/bulk-sends/{made.json()['id']}"
        kind = {"content-type": "application/x-ndjson"}
        assert (await http.post(f"{path}/recipients", content=lines, headers=kind)).status_code == 200
        started = await http.post(f"{path}/start")
        state = (await http.get(path)).json()
        small = await http.post("/v1/bulk-sends", json=a_bulk_send())
        await door.parts.close()
    assert "more than the whole quota" in (await _problem(started, 429, "quota_exceeded"))["detail"]
    assert (state["state"], state["accepted"]) == ("open", 3)
    assert small.status_code == 202
    assert door.temporal.started.keys() == {f"bulk-{small.json()['id']}"}


async def test_calls_at_the_same_time_share_one_quota(archive: Archive) -> None:
    shop = await a_key(archive, "send", quota="10/d")
    async with open_door(archive) as door, caller(door, shop.text) as http:
        answers = await asyncio.gather(
            *(http.post("/v1/bulk-sends", json=a_bulk_send(recipients=MANY[:3])) for _ in range(8))
        )
        await door.parts.close()
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 5
    async with archive.reading() as connection:
        for answer in answers[:1]:
            if answer.status_code == 202:
                assert (await accounting(connection, answer.json()["id"]))["accepted"] == 3


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


async def test_an_archive_that_is_away_lets_nobody_in(archive: Archive) -> None:
    async with archive.writing() as connection:
        await connection.exec_driver_sql("DROP TABLE api_key")
    async with open_door(archive) as door:
        for http in (door.http, caller(door), caller(door, a_key_never_made())):
            answer = await http.get("/v1/bulk-sends")
            await _problem(answer, 503, "unavailable")
            assert "Retry-After" in answer.headers
        assert (await door.http.get("/healthz")).status_code == 200


async def test_every_answer_says_how_many_calls_are_left(archive: Archive) -> None:
    async with open_door(archive, ApiConfig(calls_per_minute=3)) as door:
        shop, other = await a_key(archive, "read"), await a_key(archive, "read")
        async with caller(door, shop.text) as http:
            answers = [await http.get("/v1/version") for _ in range(4)]
            healthy = [await http.get("/healthz") for _ in range(4)]
        async with caller(door, other.text) as http:
            others = await http.get("/v1/version")
        async with caller(door, a_key_never_made()) as http:  # guesses are counted by the peer
            guesses = [await http.get("/v1/version") for _ in range(4)]
        await door.parts.close()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=3;w=60'}
    assert [answer.headers["ratelimit"] for answer in answers[:2]] == [
        '"default";r=2;t=20',
        '"default";r=1;t=40',
    ]
    await _problem(answers[3], 429, "too_many_requests")
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert "x-request-id" in answers[3].headers
    assert {answer.status_code for answer in healthy} == {200}
    assert others.status_code == 200
    assert [answer.status_code for answer in guesses] == [401, 401, 401, 429]


async def test_the_pages_of_the_document_are_for_this_machine_unless_told_otherwise(archive: Archive) -> None:
    await a_key(archive, "read")
    seen = []
    for docs in (None, True, False):
        async with open_door(archive, ApiConfig(docs=docs)) as door, caller(door) as stranger:
            seen.append([(await http.get("/openapi.json")).status_code for http in (door.http, stranger)])
            assert (await stranger.get("/docs")).status_code == seen[-1][1]
    assert seen == [[200, 404], [200, 200], [404, 404]]


async def test_no_page_of_another_site_may_read_answers(archive: Archive) -> None:
    async with open_door(archive) as door:
        asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        before = await door.http.options("/v1/bulk-sends", headers=asked)
        answer = await door.http.get("/v1/bulk-sends", headers={"origin": "https://evil.example"})
    assert (before.status_code, answer.status_code) == (401, 401)
    for one in (before, answer):
        assert not [name for name in one.headers if name.startswith("access-control")]
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["content-security-policy"].startswith("default-src 'none'")
        assert one.headers["cache-control"] == "no-store"


async def test_all_bad_keys_take_about_the_same_time(archive: Archive) -> None:
    """The bound is generous: it is to find a look-up that is left out, not a microsecond."""
    good = await a_key(archive, "read")
    kinds = {
        "wrong": with_another_secret(good),
        "unknown": a_key_never_made(),
        "revoked": (await a_revoked_key(archive, "read")).text,
        "expired": (await an_expired_key(archive, "read")).text,
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    async with open_door(archive) as door, caller(door) as http:
        for _ in range(60):
            for kind, key in kinds.items():  # by turns, so that what else runs here slows all alike
                door.parts.keys.forget()
                taken[kind].append(await _seconds(http, key))
    medians = {kind: statistics.median(times) for kind, times in taken.items()}
    assert max(medians.values()) < 2 * min(medians.values()), medians


async def _seconds(http: httpx2.AsyncClient, key: str) -> float:
    began = time.perf_counter()
    answer = await http.get("/v1/version", headers={"authorization": f"Bearer {key}"})
    taken = time.perf_counter() - began
    assert answer.status_code == 401
    return taken


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic YTpi", "bearer  ", "Bearer a b", "Bearer é", "Token x"]
)
async def test_any_other_authorization_is_no_key(archive: Archive, header: str) -> None:
    async with open_door(archive) as door:
        answer = await door.http.get("/v1/version", headers={"authorization": header.encode()})
        two = [("authorization", f"Bearer {a_key_never_made()}")] * 2
        twice = await door.http.get("/v1/version", headers=two)
    assert (answer.status_code, twice.status_code) == (401, 401)


async def test_the_scheme_may_be_written_as_one_likes(archive: Archive) -> None:
    key = await a_key(archive, "read")
    async with open_door(archive) as door:
        answer = await door.http.get("/v1/version", headers={"authorization": f"bearer {key.text}"})
        await door.parts.close()
    assert answer.status_code == 200
