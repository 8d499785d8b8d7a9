"""Links to unsubscribe, on both databases: who may act, on what, and what it changes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from api.dependencies import ApiConfig
from postwerk.archive.bulks import begin_bulk
from postwerk.archive.engine import Archive
from postwerk.archive.reads import accounting
from postwerk.archive.suppressions import suppression
from postwerk.contracts.states import SuppressionScope
from postwerk.errors import NotFound
from postwerk.rules.tokens import Secret, Tokens
from tests.support.api import Door, a_bulk_send, open_door
from tests.support.databases import watch_statements

BASE = "https://mail.shop.example"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(public_url=BASE)) as door:
        yield door


async def a_send(door: Door, *addresses: str, **fields) -> str:
    recipients = [{"to": address} for address in addresses]
    answer = await door.send(recipients=recipients, list_unsubscribe=True, **fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def link_of(door: Door, bulk_id: str, seq: int = 1) -> str:
    """As the mail names it."""
    mail = (await door.http.get(f"/v1/messages/{bulk_id}.{seq}/content")).text
    found = re.search(rf"(?m)^List-Unsubscribe: <{BASE}(/u/[0-9a-z]+)>\r?$", mail)
    assert found is not None, mail
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in mail
    return found[1]


async def is_listed(door: Door, address: str) -> bool:
    async with door.archive.reading() as connection:
        try:
            return (await suppression(connection, address)).scope is SuppressionScope.BULK
        except NotFound:
            return False


async def test_a_post_unsubscribes_and_a_look_does_not(door: Door) -> None:
    bulk_id = await a_send(door, "Ada@example.com", "bob@example.com")
    link = await link_of(door, bulk_id)
    page = await door.http.get(link)
    assert page.status_code == 200
    assert "<button>" in page.text
    assert "ada@" not in page.text.lower()
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "http" not in page.text.replace("http-equiv", "")
    head = await door.http.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert not await is_listed(door, "ada@example.com")

    door.temporal.away = True
    for options in (
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {},
        {"content": b"x"},
    ):
        answer = await door.http.post(link, **options)
        assert answer.status_code == 200, answer.text
        assert await is_listed(door, "ada@example.com")
    assert not await is_listed(door, "bob@example.com")
    audit = (await door.http.get("/v1/audit?action=suppression.add")).json()["data"]
    assert [(entry["by"], entry["reason"], entry["count"]) for entry in audit] == [
        ("recipient", "unsubscribe", 1)
    ]
    entry = (await door.http.get("/v1/suppressions/ada@example.com")).json()
    assert (entry["scope"], entry["source"], entry["bulk_send"]) == ("bulk", "recipient", bulk_id)
    listed = (await door.http.get("/v1/suppressions?scope=bulk&source=recipient")).json()["data"]
    assert [one["address"] for one in listed] == ["ada@example.com"]
    assert (await door.http.get("/v1/suppressions?scope=all")).json()["data"] == []


async def test_it_ends_what_waits_in_all_running_sends(door: Door) -> None:
    first = await a_send(door, "ada@example.com", "bob@example.com")
    second = await a_send(door, "bob@example.com", "ADA@example.com")
    async with door.archive.writing() as connection:
        for bulk_id in (first, second):
            await begin_bulk(connection, bulk_id, now=door.parts.now(), deadline=door.parts.now())
    assert (await door.http.post(await link_of(door, first), data=ONE_CLICK)).status_code == 200
    for bulk_id in (first, second):
        async with door.archive.reading() as connection:
            told = await accounting(connection, bulk_id)
        assert told["adds_up"]
        assert told["counted"] == {"queued": 1, "suppressed": 1}
    third = await door.send(recipients=[{"to": "ada@example.com"}, {"to": "eve@example.com"}])
    assert third.json()["suppressed"] == 1


async def test_a_link_that_was_made_up_changes_nothing_and_tells_nothing(door: Door) -> None:
    bulk_id = await a_send(door, "ada@example.com")
    link = await link_of(door, bulk_id)
    token = link.rpartition("/")[2]
    tokens = await door.parts.tokens.get(door.parts.now())
    forged = Tokens([Secret(0, bytes(32))])
    wrong = [
        token[:-1], token + "0", token[1:], "x", "%00", "a" * 500,
        *(token[:n] + ("1" if token[n] != "1" else "2") + token[n + 1 :] for n in range(len(token))),
        forged.unsubscribe(bulk_id, 1),
        tokens.bounce_local_part(bulk_id, 1, door.parts.now().date()).partition("-")[2],
        tokens.unsubscribe(bulk_id, 2),
        tokens.unsubscribe("bulk_" + "0" * 26, 1),
    ]  # fmt: skip
    pages = set()
    for one in wrong:
        for method in ("GET", "POST"):
            answer = await door.http.request(method, f"/u/{one}")
            assert answer.status_code == 404, one
            pages.add(answer.text)
    assert len(pages) == 1
    assert not await is_listed(door, "ada@example.com")
    assert (await door.http.post(f"/u/{token.upper()}")).status_code == 200  # some programs change the case


async def test_for_a_forged_link_the_archive_is_asked_as_for_an_old_one(door: Door, archive: Archive) -> None:
    """Else how long the answer takes would tell one from the other."""
    bulk_id = await a_send(door, "ada@example.com")
    tokens = await door.parts.tokens.get(door.parts.now())
    asked = []
    for link in ("/u/" + "0" * 50, f"/u/{tokens.unsubscribe(bulk_id, 99)}"):
        with watch_statements(archive) as statements:
            assert (await door.http.get(link)).status_code == 404
        asked.append(statements)
    assert asked[0] == asked[1]
    assert len(asked[0]) == 1


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"list_unsubscribe": {"url": "ftp://x"}}, "#/list_unsubscribe/url", "invalid_url"),
        ({"list_unsubscribe": {"url": "http://x.example", "one_click": True}},
         "#/list_unsubscribe/url", "invalid_url"),
        ({"list_unsubscribe": {"url": "https://x/{{ a"}}, "#/list_unsubscribe/url", "template_syntax"),
        ({"list_unsubscribe": True, "headers": {"list-unsubscribe": "<https://x>"}},
         "#/list_unsubscribe", "both_given"),
        ({"dkim": {"selector": "../x"}}, "#/dkim/selector", "invalid_selector"),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_way_out_is_refused(door: Door, fields, pointer: str, code: str) -> None:
    answer = await door.send(**fields)
    assert answer.status_code == 422
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]


async def test_our_own_link_needs_an_address_of_ours(archive: Archive) -> None:
    async with open_door(archive) as door:
        answer = await door.send(list_unsubscribe=True)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["code"] == "no_public_url"
        assert (await door.send(list_unsubscribe={"mailto": "out@shop.example"})).status_code == 202
        assert (await door.send(list_unsubscribe={"url": "https://shop.example/u"})).status_code == 202
        assert (await door.send(list_unsubscribe=False, dkim=False)).status_code == 202


async def test_a_new_send_is_told_what_large_providers_will_miss(door: Door) -> None:
    def codes(answer) -> list[str]:
        return [one["code"] for one in answer.json()["warnings"]]

    assert codes(await door.send()) == ["not_signed", "no_list_unsubscribe"]
    assert codes(await door.send(list_unsubscribe=True)) == ["not_signed"]
    request = a_bulk_send(
        list_unsubscribe={"one_click": False}, text="{{ first_name }} {{ last_name }} {{ unsubscribe_url }}"
    )
    answer = await door.http.post("/v1/bulk-sends?dry_run=true", json=request)
    assert codes(answer) == ["not_signed", "no_one_click", "undefined_variables"]
    assert [one["name"] for one in answer.json()["undefined_variables"]] == ["last_name"]
    request["variables"]["last_name"] = "x"
    shown = (await door.http.post("/v1/bulk-sends?dry_run=true", json=request)).json()["samples"][0]
    assert f"friend x {BASE}/u/" in shown["text"]
