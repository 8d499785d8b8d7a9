"""Mail that came back, through the API: handed over, listed, looked at, worked off without the listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from api.dependencies import ApiConfig
from postwerk.archive.engine import Archive
from postwerk.archive.token_secrets import load_tokens
from tests.support.api import Door, open_door
from tests.support.returned import VACATION, a_complaint, a_dsn

RFC822 = {"content-type": "message/rfc822"}


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive, ApiConfig(inbound_max_bytes=100_000)) as opened:
        yield opened
        await opened.parts.close()


async def delivered(door: Door) -> tuple[str, str]:
    """Id and bounce address of a message that counts as delivered."""
    bulk_id = (await door.send(recipients=[{"to": "gone@example.com"}])).json()["id"]
    async with door.archive.writing() as connection:
        where = {"bulk_id": bulk_id}
        await connection.execute(
            text("UPDATE message SET state = 'delivered', attempts = 1 WHERE bulk_id = :bulk_id"), where
        )
        await connection.execute(
            text("UPDATE counter SET state = 'delivered' WHERE bulk_id = :bulk_id AND state = 'queued'"),
            where,
        )
    now = datetime.now(UTC)
    tokens = await load_tokens(door.archive, now)
    return f"{bulk_id}.1", f"{tokens.bounce_local_part(bulk_id, 1, now.date())}@bounce.example"


async def hand_over(door: Door, raw: bytes, **query: str) -> Any:
    return await door.http.post("/v1/inbound", content=raw, headers=RFC822, params=query)


async def get(door: Door, path: str, **query: str) -> Any:
    answer = await door.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_bounce_that_is_posted_makes_its_message_bounce(door: Door) -> None:
    message_id, to = await delivered(door)
    answer = await hand_over(door, a_dsn(), rcpt=to, **{"from": ""})
    assert answer.status_code == 202
    inbound_id = answer.json()["id"]
    assert (await get(door, f"/v1/inbound/{inbound_id}"))["state"] == "waiting"

    running = asyncio.create_task(door.parts.inbound.run_forever())
    async with asyncio.timeout(30):
        while (mail := await get(door, f"/v1/inbound/{inbound_id}"))["state"] == "waiting":
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert (mail["state"], mail["kind"], mail["message"], mail["via"]) == (
        "done",
        "bounce",
        message_id,
        "api",
    )
    assert mail["found"]["reported"][0]["status"] == "5.1.1"
    message = await get(door, f"/v1/messages/{message_id}")
    assert (message["state"], message["late"], message["reason"]) == ("bounced", True, "user_unknown")
    assert message["attempts"][-1]["stage"] == "dsn"
    send = await get(door, f"/v1/bulk-sends/{message['bulk_send']}")
    assert (send["counts"]["bounced"], send["counts"]["delivered"], send["late_bounces"]) == (1, 0, 1)
    listed = await get(door, "/v1/suppressions", source="dsn")
    assert [entry["address"] for entry in listed["data"]] == ["gone@example.com"]


async def test_a_complaint_is_seen_on_its_message(door: Door) -> None:
    message_id, to = await delivered(door)
    raw = a_complaint(original=f"Return-Path: <{to}>")
    await hand_over(door, raw, rcpt="fbl@bounce.example", **{"from": "fbl@provider.example"})
    await door.parts.inbound.work_off()
    message = await get(door, f"/v1/messages/{message_id}")
    assert (message["state"], message["late"]) == ("delivered", False)
    assert message["complained_at"]
    assert (await get(door, f"/v1/bulk-sends/{message['bulk_send']}"))["complaints"] == 1


async def test_the_same_mail_is_the_same(door: Door) -> None:
    first, second = [(await hand_over(door, a_dsn(), rcpt="b-x@bounce.example")).json() for _ in range(2)]
    assert (first["id"], first["duplicate"], second["duplicate"]) == (second["id"], False, True)
    other = (await hand_over(door, a_dsn(), rcpt="b-y@bounce.example")).json()
    assert other["id"] != first["id"]


async def test_the_mail_is_given_back_byte_for_byte(door: Door) -> None:
    raw = b"Subject: x\r\n\r\n\x00\xff\n.\r\nend"
    answer = (await hand_over(door, raw, rcpt="x@bounce.example")).json()
    got = await door.http.get(answer["links"]["raw"])
    assert (got.content, got.headers["content-type"]) == (raw, "message/rfc822")


async def test_what_is_left_out_is_read_in_the_mail(door: Door) -> None:
    _, to = await delivered(door)
    raw = f"Return-Path: <>\r\nDelivered-To: {to}\r\n".encode() + a_dsn(note="by fields")
    mail = await get(door, f"/v1/inbound/{(await hand_over(door, raw)).json()['id']}")
    assert (mail["rcpt_to"], mail["mail_from"]) == (to, "")
    nothing = await get(door, f"/v1/inbound/{(await hand_over(door, b'Subject: x')).json()['id']}")
    assert (nothing["rcpt_to"], nothing["mail_from"]) == ("", "unknown")


async def test_the_list_is_read_page_by_page(door: Door) -> None:
    for n in range(5):
        await hand_over(door, a_dsn(note=str(n)), rcpt="b-x@bounce.example")
    await hand_over(door, VACATION, rcpt="b-x@bounce.example")
    await door.parts.inbound.work_off()
    seen, after = [], {}
    while True:
        page = await get(door, "/v1/inbound", limit="2", **after)
        seen += [mail["id"] for mail in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["next"]}
    assert len(seen) == 6
    assert seen == sorted(seen, reverse=True)
    assert len((await get(door, "/v1/inbound", kind="auto_reply"))["data"]) == 1
    assert len((await get(door, "/v1/inbound", state="ignored", kind="bounce"))["data"]) == 5
    assert (await get(door, "/v1/inbound", state="waiting"))["data"] == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"x" * 100_001, RFC822, 413),
        (b"{}", {"content-type": "application/json"}, 415),
        (b" \r\n", RFC822, 422),
    ],
)
async def test_what_is_no_mail_is_refused(
    door: Door, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await door.http.post("/v1/inbound", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["code"]


@pytest.mark.parametrize("query", ["rcptt=x", "rcpt=a%00b", "from=%0d%0a", f"rcpt={'x' * 400}"])
async def test_a_wrong_parameter_is_named(door: Door, query: str) -> None:
    answer = await door.http.post(f"/v1/inbound?{query}", content=a_dsn(), headers=RFC822)
    assert answer.status_code == 422


@pytest.mark.parametrize("path", ["inb_x", "inb_" + "0" * 26, "inb_" + "0" * 26 + "/raw", "%00"])
async def test_an_unknown_id_is_not_found(door: Door, path: str) -> None:
    assert (await door.http.get(f"/v1/inbound/{path}")).status_code == 404
