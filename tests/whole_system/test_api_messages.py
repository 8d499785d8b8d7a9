"""Finding messages, looking at one, and its exact bytes."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from postwerk.archive.engine import Archive
from tests.support.api import Door, open_door

RECIPIENTS = [
    {"to": "ada@example.com", "name": "Ada", "variables": {"first_name": "Ada"}, "metadata": {"row": "1"}},
    {"to": "bob_100%@gmail.com"},
    {"to": "Carl@gmail.com"},
    {"to": "bobby@gmx.de"},
]


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened


@pytest.fixture
async def bulk_id(door: Door) -> str:
    return str((await door.send(recipients=RECIPIENTS)).json()["id"])


async def _found(door: Door, bulk_id: str, **query: str) -> list[str]:
    answer = await door.http.get(f"/v1/bulk-sends/{bulk_id}/messages", params=query)
    assert answer.status_code == 200, answer.text
    return [message["to"] for message in answer.json()["data"]]


async def test_messages_are_found_by_lane_state_and_part_of_the_address(door: Door, bulk_id: str) -> None:
    async with door.archive.writing() as connection:
        await connection.execute(text("UPDATE message SET state = 'bounced' WHERE seq = 2"))

    assert await _found(door, bulk_id, lane="gmail.com") == ["bob_100%@gmail.com", "Carl@gmail.com"]
    assert await _found(door, bulk_id, state="bounced") == ["bob_100%@gmail.com"]
    assert await _found(door, bulk_id, state="queued", lane="gmail.com") == ["Carl@gmail.com"]
    assert await _found(door, bulk_id, q="BOB") == ["bob_100%@gmail.com", "bobby@gmx.de"]
    assert await _found(door, bulk_id, q="carl@") == ["Carl@gmail.com"]


@pytest.mark.parametrize(("q", "hits"), [("%", 1), ("_", 1), ("0%@", 1), ("/", 0), ("\\", 0), ("'", 0)])
async def test_a_search_knows_no_wildcards(door: Door, bulk_id: str, q: str, hits: int) -> None:
    assert len(await _found(door, bulk_id, q=q)) == hits


async def test_messages_are_paged_by_cursor(door: Door, bulk_id: str) -> None:
    seen, after = [], None
    for _ in range(4):
        query = {"limit": "1", **({"after": after} if after else {})}
        page = (await door.http.get(f"/v1/bulk-sends/{bulk_id}/messages", params=query)).json()
        seen += [message["seq"] for message in page["data"]]
        after = page["next"]
    assert (seen, after) == ([1, 2, 3, 4], None)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "after=x", "after=-1", "state=lost", "q=%00", "after=" + "9" * 30]
)
async def test_wrong_parameters_are_named(door: Door, bulk_id: str, query: str) -> None:
    answer = await door.http.get(f"/v1/bulk-sends/{bulk_id}/messages?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?" + query.partition("=")[0]


_DEFER = """
    UPDATE message SET state = 'deferred', attempts = 1, last_stage = 'rcpt', last_code = 451 WHERE seq = 1
"""
_ATTEMPT = """
    INSERT INTO attempt
        (bulk_id, seq, number, started_at, milliseconds, outcome, reason, stage, code, enhanced, text, host,
         tls)
    VALUES (:id, 1, 1, 1000000, 12, 'deferred', '', 'rcpt', 451, '4.7.1', 'Greylisted', 'mx.example.com',
        '')
"""


async def test_a_message_tells_everything_about_it(door: Door, bulk_id: str) -> None:
    async with door.archive.writing() as connection:
        await connection.execute(text(_DEFER))
        await connection.execute(text(_ATTEMPT), {"id": bulk_id})

    found = (await door.http.get(f"/v1/messages/{bulk_id}.1")).json()

    assert (found["to"], found["name"], found["state"]) == ("ada@example.com", "Ada", "deferred")
    assert (found["variables"], found["metadata"]) == ({"first_name": "Ada"}, {"row": "1"})
    assert found["last_reply"]["code"] == 451
    assert found["attempts"][0]["text"] == "Greylisted"
    assert found["attempts"][0]["started_at"] == "1970-01-01T00:00:01Z"


async def test_the_content_is_the_mail_byte_for_byte_each_time(door: Door, bulk_id: str) -> None:
    first = await door.http.get(f"/v1/messages/{bulk_id}.1/content")
    again = await door.http.get(f"/v1/messages/{bulk_id}.1/content")

    assert first.headers["content-type"] == "message/rfc822"
    assert first.content == again.content
    mail = email.message_from_bytes(first.content, policy=email.policy.default)
    assert mail["subject"] == "Hello Ada"
    assert "ada@example.com" in mail["to"]


async def test_before_the_start_there_is_no_content_yet(door: Door) -> None:
    bulk_id = await door.open()
    await door.upload(bulk_id, "to\nada@example.com\n", "text/csv")

    assert (await door.http.get(f"/v1/messages/{bulk_id}.1/content")).status_code == 409


async def test_a_mail_that_cannot_be_made_says_why(door: Door) -> None:
    bulk_id = (await door.send(variables={})).json()["id"]

    answer = await door.http.get(f"/v1/messages/{bulk_id}.1/content")

    assert answer.status_code == 422
    assert "first_name" in answer.json()["detail"]


@pytest.mark.parametrize("ending", ["", ".0", ".99", ".x", ".1.1", ".-1", "." + "9" * 30, ".1%00"])
@pytest.mark.parametrize("what", ["", "/content"])
async def test_an_unknown_message_is_a_404(door: Door, bulk_id: str, ending: str, what: str) -> None:
    assert (await door.http.get(f"/v1/messages/{bulk_id}{ending}{what}")).status_code == 404
