"""The suppression list through the HTTP door: entries one by one, in lists, and what a send makes of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from api.dependencies import ApiConfig
from api.errors import loggable
from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.observe.log.foreign import CleanPaths
from tests.support.api import Door, open_door

PATH = "/v1/suppressions"


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(max_part_bytes=200_000)) as opened:
        yield opened


async def post(door: Door, **body: Any) -> httpx2.Response:
    return await door.http.post(PATH, json=body)


async def upload(door: Door, body: Any, kind: str = "text/csv") -> httpx2.Response:
    return await door.http.post(PATH, content=body, headers={"content-type": kind})


async def counts(door: Door, **body: Any) -> tuple[int, int, int]:
    answer = await post(door, **body)
    assert answer.status_code == 200, answer.text
    return _counts(answer.json())


def _counts(told: dict[str, Any]) -> tuple[int, int, int]:
    return told["added"], told["known"], told["rejected"]


async def addresses(door: Door, **query: str) -> list[str]:
    answer = await door.http.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    return [entry["address"] for entry in answer.json()["data"]]


# One by one


async def test_an_address_is_listed_shown_and_taken_off(door: Door) -> None:
    detail = "asked us\r\nby phone \x1b" + "x" * 2000
    assert await counts(door, address="Ada@Example.COM", reason="complaint", detail=detail) == (1, 0, 0)
    assert await counts(door, address="ada@example.com") == (0, 1, 0)

    entry = (await door.http.get(f"{PATH}/ADA@example.com")).json()
    assert (entry["address"], entry["reason"], entry["source"]) == ("ada@example.com", "complaint", "api")
    assert entry["detail"].startswith("asked us by phone xx")
    assert len(entry["detail"]) == 1000
    assert entry["bulk_send"] is None
    gone = await door.http.delete(f"{PATH}/Ada@example.com")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await door.http.delete(f"{PATH}/ada@example.com")).status_code == 404
    assert (await door.http.get(f"{PATH}/ada@example.com")).status_code == 404


@pytest.mark.parametrize(
    "address", ["a/b@example.com", "a%b@example.com", "a+b?c@example.com", "ä@bücher.example"]
)
async def test_any_address_can_stand_in_the_path(door: Door, address: str) -> None:
    assert await counts(door, address=address) == (1, 0, 0)
    path = f"{PATH}/{quote(address)}"

    assert (await door.http.get(path)).status_code == 200
    assert (await door.http.delete(path)).status_code == 204


@pytest.mark.parametrize(
    "ending", ["", "x", "x@@y", "a@example.com/b", "%00@example.com", "a@b%00", "%ff@example.com"]
)
async def test_what_is_no_listed_address_is_a_404(door: Door, ending: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await door.http.request(method, f"{PATH}/{ending}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/address"),
        ({"address": None}, "#/address"),
        ({"address": "nobody"}, "#/address"),
        ({"address": 17}, "#/address"),
        ({"address": "a@example.com", "addresses": ["b@example.com"]}, "#/addresses"),
        ({"addresses": []}, "#/address"),
        ({"addresses": {}}, "#/addresses"),
        ({"addresses": ["a@example.com"] * 10_001}, "#/addresses"),
        ({"address": "a@example.com", "reason": "No Idea"}, "#/reason"),
        ({"addresses": ["a@example.com"], "reason": ""}, "#/reason"),
        ({"address": "a@example.com", "detail": 1}, "#/detail"),
        ({"address": "a@example.com", "detail": "\x00"}, "#/detail"),
        ({"address": "a@example.com", "source": "reply"}, "#/source"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    door: Door, body: dict[str, Any], pointer: str
) -> None:
    answer = await post(door, **body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await addresses(door) == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"addresses":[{]}', "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"address":"a@example.com"}', "text/plain", 415),
        (b"address\n", "application/x-ndjson", 415),
        (b"address\n", "text/csv; charset=nonsense", 422),
        (b"", "text/csv", 422),
        (b"a@example.com\n", "text/csv", 422),
        (b"address,reasn\na@example.com,x\n", "text/csv", 422),
    ],
)
async def test_a_body_that_is_no_list_gets_one_clear_error(
    door: Door, body: bytes, kind: str, status: int
) -> None:
    answer = await upload(door, body, kind)

    assert answer.status_code == status
    assert await addresses(door) == []


# Lists


async def test_a_json_list_takes_texts_and_objects_and_names_what_it_refuses(door: Door) -> None:
    entries: list[Any] = [
        "ada@example.com",
        {"address": "bob@example.com", "reason": "user_unknown", "detail": "550 5.1.1"},
        "ADA@example.com",
        "Grace <grace@example.com>",
        "x@@y",
        17,
        {"address": "eve@example.com", "color": "red"},
        {"address": "eve@example.com", "reason": "?"},
        {"reason": "manual"},
        {"address": ["eve@example.com"]},
    ]
    answer = await post(door, addresses=entries, reason="complaint", detail="from the provider")

    told = answer.json()
    assert _counts(told) == (3, 1, 6)
    assert [(error["row"], error["code"]) for error in told["errors"]] == [
        (4, "invalid_address"), (5, "invalid_entry"), (6, "invalid_entry"),
        (7, "invalid_reason"), (8, "invalid_entry"), (9, "invalid_address"),
    ]  # fmt: skip
    assert [error["address"] for error in told["errors"][:3]] == ["x@@y", "", "eve@example.com"]
    ada, bob = [(await door.http.get(f"{PATH}/{name}@example.com")).json() for name in ("ada", "bob")]
    assert (ada["reason"], ada["detail"]) == ("complaint", "from the provider")
    assert (bob["reason"], bob["detail"]) == ("user_unknown", "550 5.1.1")


async def test_a_json_list_of_ten_thousand_is_taken(door: Door) -> None:
    assert await counts(door, addresses=[f"u{n}@example.com" for n in range(10_000)]) == (10_000, 0, 0)


async def test_a_csv_list_is_imported_and_again_without_harm(door: Door) -> None:
    rows = "".join(f"user{n}@example.com;;\r\n" for n in range(1200))
    body = f"Email;Reason;detail\r\nAda@example.com;complaint;von Köln\r\nx;;\r\n{rows}".encode("utf-16")

    told = (await upload(door, body)).json()
    again = (await upload(door, body)).json()

    assert (_counts(told), _counts(again)) == ((1201, 0, 1), (0, 1201, 1))
    assert told["errors"] == [{**told["errors"][0], "row": 3, "address": "x", "code": "invalid_address"}]
    ada = (await door.http.get(f"{PATH}/ada@example.com")).json()
    assert (ada["reason"], ada["source"], ada["detail"]) == ("complaint", "import", "von Köln")
    assert (await door.http.get(f"{PATH}/user7@example.com")).json()["reason"] == "manual"


async def test_a_csv_list_lists_a_thousand_wrong_rows_and_counts_all(door: Door) -> None:
    told = (await upload(door, b"address,reason\n" + b"a@example.com,No\n" * 1500)).json()

    assert (_counts(told), len(told["errors"]), told["errors_truncated"]) == ((0, 0, 1500), 1000, True)
    assert told["errors"][0]["code"] == "invalid_reason"


async def test_what_came_before_a_fault_stays_and_is_told(door: Door) -> None:
    rows = b"".join(b"user%d@example.com,\n" % n for n in range(1200))

    answer = await upload(door, b"address,detail\nx,\n" + rows + b'bob@example.com,"never closed\n')

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_csv")
    assert (_counts(problem), problem["stopped_at_row"]) == ((1200, 0, 1), 1203)
    assert len(await addresses(door, limit="1000", q="user1")) == 311


async def test_a_csv_list_above_the_limit_is_a_413(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"address\n"
        while True:
            yield b"".join(b"user%d@example.com\n" % n for n in range(1000))

    answer = await upload(door, endless())

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["added"] == 1000


# Looking


async def test_the_list_is_paged_newest_first_and_filtered(door: Door) -> None:
    await counts(door, addresses=["a&b+c@example.com", "bob@example.com", "ä@example.com"])
    await counts(door, address="carl@gmx.de", reason="complaint")
    await upload(door, "address\nimported@gmx.de\n")

    seen, after = [], None
    for _ in range(5):
        query = {"limit": "1", **({"after": after} if after else {})}
        page = (await door.http.get(PATH, params=query)).json()
        seen += [entry["address"] for entry in page["data"]]
        after = page["next"]
    assert after is None
    assert seen[:2] == ["imported@gmx.de", "carl@gmx.de"]
    assert sorted(seen[2:]) == ["a&b+c@example.com", "bob@example.com", "ä@example.com"]
    assert await addresses(door, source="import") == ["imported@gmx.de"]
    assert await addresses(door, reason="complaint", q="GMX") == ["carl@gmx.de"]
    assert await addresses(door, q="%") == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "after=x", "after=YWJj", "after=%00", "after=MTcgYUBiAA", "after=MTcgYQ"),
        *("source=me", "reason=No", "q=%00", "sort=age"),
    ],
)
async def test_wrong_parameters_are_named(door: Door, query: str) -> None:
    answer = await door.http.get(f"{PATH}?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?" + query.partition("=")[0]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_other_calls_know_no_parameters(door: Door, method: str) -> None:
    path = PATH if method == "POST" else f"{PATH}/a@example.com"
    answer = await door.http.request(method, f"{path}?dry_run=true")

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?dry_run")


# What a send makes of it


async def test_a_send_leaves_out_who_is_listed_and_says_how_many(door: Door) -> None:
    await counts(door, addresses=["ada@example.com", "bob@example.com"])
    answer = await door.send(
        recipients=[{"to": "Ada@example.com"}, {"to": "carl@example.com"}, {"to": "BOB@example.com"}]
    )

    taken = answer.json()
    assert (taken["accepted"], taken["suppressed"]) == (3, 2)
    order = door.temporal.started[taken["workflow_id"]]
    assert order.messages == 3
    assert [batch.messages for batch in order.batches or ()] == [1]
    view = (await door.http.get(f"/v1/bulk-sends/{taken['id']}")).json()
    assert (view["counts"]["queued"], view["counts"]["suppressed"]) == (1, 2)
    message = (await door.http.get(f"/v1/messages/{taken['id']}.1")).json()
    assert (message["state"], message["attempt_count"]) == ("suppressed", 0)
    await _adds_up(door, taken["id"])


async def test_a_send_to_listed_people_alone_is_taken_with_an_empty_plan(door: Door) -> None:
    await counts(door, address="ada@example.com")
    taken = (await door.send(recipients=[{"to": "ada@example.com"}])).json()

    assert (taken["status"], taken["accepted"], taken["suppressed"]) == ("queued", 1, 1)
    assert door.temporal.started[taken["workflow_id"]].batches == ()
    await _adds_up(door, taken["id"])


async def test_how_many_are_suppressed_is_null_where_it_is_found_out_later(door: Door) -> None:
    large = await door.send(recipients=[{"to": f"u{n}@example.com"} for n in range(101)])
    opened = await door.send(open=True)
    nobody = await door.send()

    assert [answer.json()["suppressed"] for answer in (large, opened, nobody)] == [None, None, 0]


async def test_an_open_send_looks_at_the_list_when_it_is_started(door: Door) -> None:
    bulk_id = await door.open()
    await door.upload(bulk_id, "to\nada@example.com\nbob@example.com\n", "text/csv")
    await counts(door, address="ada@example.com")

    view = (await door.http.post(f"/v1/bulk-sends/{bulk_id}/start")).json()

    assert (view["counts"]["queued"], view["counts"]["suppressed"]) == (1, 1)
    await _adds_up(door, bulk_id)


async def _adds_up(door: Door, bulk_id: str) -> None:
    async with door.archive.reading() as connection:
        found = await reads.accounting(connection, bulk_id)
    assert found["adds_up"], found


# Privacy


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"{PATH}/ada@example.com", f"{PATH}/..."),
        (f"{PATH}/a%2Fb%40example.com", f"{PATH}/..."),
        ("/v1/suppresions/ada@example.com", "/v1/suppresions/..."),
        ("/v1//ada%40example.com/x", "/v1//..."),
        (PATH, PATH),
        ("/v1/bulk-sends/bulk_1/start", "/v1/bulk-sends/bulk_1/start"),
    ],
)
def test_no_log_line_shows_an_address_of_a_path(path: str, shown: str) -> None:
    line = logging.LogRecord(
        "uvicorn.access", logging.INFO, "", 0, "%s %s %s", ("1", "GET", path + "?q=ada"), None
    )
    CleanPaths(loggable).filter(line)

    assert loggable(path) == shown
    assert line.getMessage() == f"1 GET {shown}"
