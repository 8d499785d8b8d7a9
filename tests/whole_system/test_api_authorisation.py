"""Every call by its document: without a key, with a wrong one, without the scope, and about others' sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.access import NEEDS, Need, is_public, need_of
from api.app import create_app
from api.dependencies import ApiConfig
from postwerk.contracts.keys import RIGHTS, Scope
from tests.support.api import Door, a_bulk_send, open_door
from tests.support.databases import open_archive
from tests.support.keys import (
    a_key,
    a_key_never_made,
    a_revoked_key,
    an_expired_key,
    caller,
    with_another_secret,
)

NOBODY_LISTENS = "http://127.0.0.1:1024/hook"


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the document has it, its parameters filled in."""

    method: str
    path: str
    need: Need

    def filled(self, ids: dict[str, str]) -> str:
        path = self.path
        for name, value in ids.items():
            path = path.replace(f"{{{name}}}", value)
        return path.replace("{", "").replace("}", "")

    @property
    def is_of_one_send(self) -> bool:
        return self.need.own and "{" in self.path


async def _calls(door: Door) -> list[Call]:
    document = create_app(door.parts).openapi()
    found = []
    for path, methods in document["paths"].items():
        for method in methods:
            need = need_of(method.upper(), path)
            assert need is not None, f"{method.upper()} {path} is in no line of api/access.py"
            found.append(Call(method.upper(), path, need))
    assert len(found) > 40
    return sorted(found, key=lambda call: call.method == "DELETE")  # what others ask for is deleted last


@asynccontextmanager
async def a_door(folder: Path) -> AsyncIterator[Door]:
    async with (
        open_archive(f"sqlite+aiosqlite:///{folder}/archive.db") as archive,
        open_door(archive, ApiConfig(webhook_allow_private=True, stream_seconds=0.0)) as door,
    ):
        yield door
        await door.parts.close()


async def _ids_of(key: str, door: Door) -> dict[str, str]:
    """A bulk send of this key, one of its messages, what was done to that, and a webhook of its own."""
    async with caller(door, key) as http:
        made = await http.post("/v1/bulk-sends", json=a_bulk_send())
        assert made.status_code == 202, made.text
        bulk_id = made.json()["id"]
        held = await http.post(f"/v1/messages/{bulk_id}.1/hold", json={"reason": "trial"})
        assert held.status_code == 200, held.text
        hook = await http.post("/v1/webhooks", json={"url": NOBODY_LISTENS})
        assert hook.status_code == 201, hook.text
    return {
        "bulk_id": bulk_id,
        "message_id": f"{bulk_id}.1",
        "operation_id": held.json()["id"],
        "webhook_id": hook.json()["id"],
    }


async def _ask(http: httpx2.AsyncClient, call: Call, ids: dict[str, str]) -> httpx2.Response:
    return await http.request(call.method, call.filled(ids))


async def test_every_call_of_the_document_says_what_it_needs(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        calls = await _calls(door)
    for call in calls:
        assert is_public(call.method, call.filled({})) is call.need.public
    assert {call.path for call in calls if call.need.public} <= {"/healthz", "/readyz", "/u/{token}"}
    assert all(scope in Scope for need in NEEDS.values() for scope in need.scopes)


async def test_without_a_key_that_is_taken_every_call_answers_the_same(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        good = await a_key(door.archive, "admin")
        revoked = await a_revoked_key(door.archive, "admin")
        expired = await an_expired_key(door.archive, "admin")
        mistyped = good.text[:20] + ("x" if good.text[20] != "x" else "y") + good.text[21:]
        said = set()
        bad = [a_key_never_made(), with_another_secret(good), revoked.text, expired.text, mistyped, "letmein"]
        for key in ["", *bad]:
            async with caller(door, key) as http:
                for call in await _calls(door):
                    answer = await _ask(http, call, {})
                    if call.need.public:
                        assert answer.status_code != 401
                        continue
                    assert answer.status_code == 401, (call, answer.text)
                    assert answer.headers["www-authenticate"] == "Bearer"
                    assert answer.headers["content-type"] == "application/problem+json"
                    said.add((bool(key), answer.json()["code"], answer.json()["detail"]))
    assert len(said) == 2  # one for no key, one for any bad one


@pytest.mark.parametrize("held", list(Scope))
async def test_a_scope_opens_its_calls_and_the_others_name_what_is_missing(
    held: Scope, tmp_path: Path
) -> None:
    async with a_door(tmp_path) as door:
        ids = await _ids_of((await a_key(door.archive, "send")).text, door)
        async with caller(door, (await a_key(door.archive, held.value)).text) as http:
            for call in await _calls(door):
                answer = await _ask(http, call, ids)
                need = call.need
                if need.public or not need.scopes or RIGHTS[held] & set(need.scopes):
                    assert answer.status_code not in (401, 403), (call, answer.text)
                elif need.own and held is Scope.SEND:
                    expected = (404,) if call.is_of_one_send else (200, 400)  # 400: it came without a body
                    assert answer.status_code in expected, (call, answer.text)
                else:
                    assert answer.status_code == 403, (call, answer.text)
                    assert answer.json()["scope"] == need.scopes[0]
                    assert need.scopes[0] in answer.json()["detail"]


async def test_what_others_sent_is_not_there_and_what_is_ones_own_is(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        mine, theirs = await a_key(door.archive, "send"), await a_key(door.archive, "send")
        own, others = await _ids_of(mine.text, door), await _ids_of(theirs.text, door)
        nobodys = {name: value.replace("0", "1").replace("2", "3") for name, value in others.items()}
        async with caller(door, mine.text) as http:
            for call in (call for call in await _calls(door) if call.is_of_one_send):
                found, never = await _ask(http, call, others), await _ask(http, call, nobodys)
                assert found.status_code == never.status_code == 404, call
                assert _but_for_ids(found) == _but_for_ids(never)
                answer = await _ask(http, call, own)
                assert answer.status_code not in (401, 403, 404), (call, answer.text)
                assert answer.status_code < 500, (call, answer.text)


def _but_for_ids(answer: httpx2.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name not in ("instance", "request_id")}


async def test_lists_show_a_sender_its_own_and_a_reader_everything(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        mine, theirs = await a_key(door.archive, "send"), await a_key(door.archive, "send")
        own, others = await _ids_of(mine.text, door), await _ids_of(theirs.text, door)
        seen = {}
        for name, key in (("mine", mine.text), ("all", (await a_key(door.archive, "read")).text)):
            async with caller(door, key) as http:
                seen[name] = {one["id"] for one in (await http.get("/v1/bulk-sends")).json()["data"]}
    assert seen == {"mine": {own["bulk_id"]}, "all": {own["bulk_id"], others["bulk_id"]}}


async def test_who_may_see_a_send_but_not_steer_it_is_told_why(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        others = await _ids_of((await a_key(door.archive, "send")).text, door)
        async with caller(door, (await a_key(door.archive, "send", "read")).text) as http:
            path = f"/v1/bulk-sends/{others['bulk_id']}"
            seen = await http.get(path)
            refused = await http.post(f"{path}/pause", json={"reason": "trial"})
    assert seen.status_code == 200
    assert (refused.status_code, refused.json()["scope"]) == (403, "operate")


async def test_an_operation_on_anything_of_others_is_not_there(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        mine = await a_key(door.archive, "send")
        own = await _ids_of(mine.text, door)
        others = await _ids_of((await a_key(door.archive, "send")).text, door)
        async with caller(door, (await a_key(door.archive, "operate")).text) as operator:
            wide = [
                {"all": True},
                {"domain": "example.com"},
                {"bulk": [own["bulk_id"], others["bulk_id"]]},
                {"ids": [own["message_id"], others["message_id"]]},
            ]
            done = [
                (await operator.post("/v1/queue/retry", json={"filter": one})).json()["id"] for one in wide
            ]
        async with caller(door, mine.text) as http:
            answers = [await http.get(f"/v1/operations/{one}") for one in done]
            assert [answer.status_code for answer in answers] == [404] * 4
            assert (await http.get(f"/v1/operations/{own['operation_id']}")).status_code == 200


async def test_importing_a_list_of_suppressions_wants_more_than_adding_one(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        kinds = {"content": b"address\na@example.com\n", "headers": {"content-type": "text/csv"}}
        for scope, statuses in (("operate", (200, 403)), ("admin", (200, 200))):
            async with caller(door, (await a_key(door.archive, scope)).text) as http:
                one = await http.post("/v1/suppressions", json={"address": "b@example.com"})
                many = await http.post("/v1/suppressions", **kinds)  # type: ignore[arg-type]
            assert (one.status_code, many.status_code) == statuses


async def test_calls_at_the_same_time_do_not_take_each_others_rights(tmp_path: Path) -> None:
    async with a_door(tmp_path) as door:
        mine, theirs = await a_key(door.archive, "send"), await a_key(door.archive, "send")
        own, others = await _ids_of(mine.text, door), await _ids_of(theirs.text, door)
        async with caller(door, mine.text) as one, caller(door, theirs.text) as other:
            path = f"/v1/bulk-sends/{own['bulk_id']}"
            answers = await asyncio.gather(*(http.get(path) for http in [one, other] * 20))
    assert [answer.status_code for answer in answers] == [200, 404] * 20
    assert others
