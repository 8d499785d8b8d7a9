"""The gate: who is let in without a key, and what everybody else is told."""

from __future__ import annotations

import hmac

import pytest

from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive
from tests.support.api import open_door
from tests.support.databases import watch_statements
from tests.support.keys import (
    a_key,
    a_key_never_made,
    a_revoked_key,
    an_expired_key,
    caller,
    problem_of,
    with_another_secret,
)


async def test_the_first_key_is_made_on_this_machine_and_closes_the_door_behind_it(archive: Archive) -> None:
    async with open_door(archive) as door, caller(door) as stranger:
        before = await stranger.get("/v1/bulk-sends")
        assert "postwerk keys create" in (problem_of(before, 401, "unauthorized"))["detail"]

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
        for name in ("x-forwarded-for", "forwarded", "via"):  # a proxy on this machine opens nothing
            assert (await door.http.get("/v1/bulk-sends", headers={name: "127.0.0.1"})).status_code == 401
        async with caller(door) as stranger:
            assert (await stranger.get("/v1/bulk-sends")).status_code == 401


async def test_an_archive_that_is_away_lets_nobody_in(archive: Archive) -> None:
    async with archive.writing() as connection:
        await connection.exec_driver_sql("DROP TABLE api_key")
    async with open_door(archive) as door:
        for http in (door.http, caller(door), caller(door, a_key_never_made())):
            answer = await http.get("/v1/bulk-sends")
            problem_of(answer, 503, "unavailable")
            assert "Retry-After" in answer.headers
        assert (await door.http.get("/healthz")).status_code == 200


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


async def test_for_every_bad_key_the_same_work_is_done(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look-up and one comparison each: how long a refusal takes does not tell which keys there are."""
    good = await a_key(archive, "read")
    kinds = {
        "wrong": with_another_secret(good),
        "unknown": a_key_never_made(),
        "revoked": (await a_revoked_key(archive, "read")).text,
        "expired": (await an_expired_key(archive, "read")).text,
    }
    compared: list[int] = []
    plain = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(len(a)), plain(a, b))[1])
    work = {}
    async with open_door(archive) as door, caller(door) as http:
        for kind, key in kinds.items():
            door.parts.keys.forget()
            compared.clear()
            with watch_statements(archive) as asked:
                answer = await http.get("/v1/version", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 401
            work[kind] = (asked, [*compared])
    assert len(work["wrong"][0]) == len(work["wrong"][1]) == 1
    assert all(done == work["wrong"] for done in work.values()), work


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
