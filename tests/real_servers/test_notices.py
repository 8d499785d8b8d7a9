"""Telling a sender, in the archive: once, in one transaction, and never of a notice. On both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.notices import NoticeActivities, Speaker
from activities.parts import Contents, WorkerParts
from postwerk.archive import reads
from postwerk.archive.engine import Archive
from postwerk.contracts.content import Mailbox
from postwerk.contracts.options import Notify, NotifyMode, NotifyOn, RetrySchedule
from postwerk.contracts.orders import BulkOrder
from postwerk.contracts.states import BulkState
from tests.support.notices import Told, notices_of
from tests.support.seeding import a_content, a_stored_bulk_send

ME, YOU = Mailbox(email="me@shop.example", name="Me"), Mailbox(email="you@shop.example")
ALL = (NotifyOn.FAILURE, NotifyOn.DELAY, NotifyOn.COMPLETION)
HOSTILE = "5.1.1 gone\nStatus: 2.0.0\n\n=?utf-8?q?x=0D=0A?= Grüße"


async def a_send(archive: Archive, states: Sequence[str], *on: NotifyOn, **options: Any) -> str:
    """A bulk send that runs, with a message in each of these states; HOSTILE is the last thing they heard."""
    mode = options.pop("mode", NotifyMode.DIGEST)
    addresses = [f"{state}{n}@example.com" for n, state in enumerate(states, 1)]
    notify = Notify(to=(ME, YOU), on=on or (NotifyOn.FAILURE,), mode=mode)
    order = await a_stored_bulk_send(archive, addresses, notify=notify, **options)
    async with archive.writing() as connection:
        for seq, state in enumerate(states, 1):
            await _set_state(connection, order.bulk_id, seq, state)
        await connection.exec_driver_sql("UPDATE bulk_send SET state = 'completed', name = 'spring'")
    return order.bulk_id


async def _set_state(connection: Any, bulk_id: str, seq: int, state: str) -> None:
    heard = state not in ("queued", "delivered", "cancelled")
    told = {"id": bulk_id, "seq": seq, "state": state, "code": 550 if heard else None, "said": HOSTILE}
    await connection.execute(
        text(
            "UPDATE message SET state = :state, last_code = :code, last_enhanced = '5.1.1',"
            " last_text = :said, attempts = 1 WHERE bulk_id = :id AND seq = :seq"
        ),
        told,
    )
    counters = (
        "UPDATE counter SET n = n - 1 WHERE bulk_id = :id AND state = 'queued' AND shard = 0",
        "INSERT INTO counter (bulk_id, state, shard, n) VALUES (:id, :state, 1, 1)"
        " ON CONFLICT (bulk_id, state, shard) DO UPDATE SET n = counter.n + 1",
        "INSERT INTO attempt (bulk_id, seq, number, started_at, milliseconds, outcome, reason, stage, text,"
        " host, tls) VALUES (:id, :seq, 1, 1000000, 5, :state, '', 'rcpt', '', 'mx.example.com', '')",
    )
    for statement in counters:
        await connection.execute(text(statement), told)


def teller(archive: Archive) -> NoticeActivities:
    parts = SimpleNamespace(archive=archive, contents=Contents(archive))
    return NoticeActivities(cast(WorkerParts, parts), Speaker("mail.shop.example", "https://post.example"))


async def tell(archive: Archive, what: str, bulk_id: str) -> int:
    order = BulkOrder(bulk_id=bulk_id, now=datetime.now(UTC))
    return int(await ActivityEnvironment().run(getattr(teller(archive), what), order))


async def told(archive: Archive, what: str, bulk_id: str) -> list[Told]:
    """Tell, and tell again as a repeated activity does; what was told then."""
    first = await tell(archive, what, bulk_id)
    assert await tell(archive, what, bulk_id) == 0
    found = await notices_of(archive, bulk_id)
    assert len(found) == first
    return found


async def test_a_digest_is_stored_once_and_queued_as_a_bulk_send(archive: Archive) -> None:
    bulk_id = await a_send(
        archive,
        ["delivered", "bounced", "bounced", "expired", "failed", "cancelled"],
        retry=RetrySchedule(factor=3.0),
    )
    (notice,) = await told(archive, "tell_end", bulk_id)

    assert (notice.seq, notice.kind) == (0, "completion")
    assert (notice.send.state, notice.send.notice_of) == (BulkState.QUEUED, bulk_id)
    assert (notice.send.options.notify, notice.send.options.retry.factor) == (None, 3.0)
    assert notice.send.accepted == 2
    assert notice.content.return_path is None
    assert notice.mail["Subject"] == "spring: completed, 4 of 6 failed"
    assert notice.mail["From"] == "Postwerk <news@shop.example>"
    assert "2 bounced: reply 550\n" in notice.text
    _, attached = notice.mail.iter_parts()
    rows = attached.get_payload(decode=True).decode().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [
        *("bounced2@example.com", "bounced3@example.com", "expired4@example.com", "failed5@example.com")
    ]
    async with archive.reading() as connection:
        assert (await reads.accounting(connection, notice.send.id))["adds_up"]
        waiting = await reads.bulk_sends_not_started(connection, datetime(2100, 1, 1, tzinfo=UTC))
    assert notice.send.id in waiting  # the reconciler starts it


async def test_nothing_is_told_when_nothing_failed_unless_it_was_asked_for(archive: Archive) -> None:
    silent = await a_send(archive, ["delivered", "cancelled", "unknown"])
    assert await told(archive, "tell_end", silent) == []
    asked = await a_send(archive, ["delivered"], NotifyOn.COMPLETION)
    (notice,) = await told(archive, "tell_end", asked)
    assert notice.mail["Subject"] == "spring: completed, 0 of 1 failed"


@pytest.mark.parametrize("what", ["tell_failures", "tell_delay", "tell_end"])
async def test_nobody_is_told_who_did_not_ask(archive: Archive, what: str) -> None:
    for options in ({"mode": NotifyMode.NONE}, {"notify": None}):
        order = await a_stored_bulk_send(archive, ["a@example.com"])
        bulk_id = (
            order.bulk_id if "notify" in options else await a_send(archive, ["bounced"], *ALL, **options)
        )
        assert await told(archive, what, bulk_id) == []
    assert await tell(archive, what, "bulk_nowhere") == 0


@pytest.mark.parametrize("what", ["tell_failures", "tell_delay", "tell_end"])
async def test_there_is_no_notice_about_a_notice(archive: Archive, what: str) -> None:
    bulk_id = await a_send(archive, ["bounced", "queued"], *ALL, mode=NotifyMode.EACH)
    async with archive.writing() as connection:
        await connection.exec_driver_sql("UPDATE bulk_send SET notice_of = 'bulk_1'")
    assert await told(archive, what, bulk_id) == []


async def test_each_failure_gets_a_notification_of_its_own(archive: Archive) -> None:
    bulk_id = await a_send(
        archive,
        ["bounced", "delivered", "expired", "failed", "deferred"],
        mode=NotifyMode.EACH,
        content=a_content(subject="Grüße, {{ to }}"),
    )
    found = await told(archive, "tell_failures", bulk_id)

    assert sorted((one.seq, one.kind) for one in found) == [(1, "failure"), (3, "failure"), (4, "failure")]
    assert await tell(archive, "tell_end", bulk_id) == 0  # all of them were told
    by_seq = {one.seq: one for one in found}
    assert {seq: one.status["Status"] for seq, one in by_seq.items()} == {1: "5.1.1", 3: "4.4.7", 4: "5.1.1"}
    bounce = by_seq[1]
    assert bounce.content.return_path == ""
    assert bounce.status["Final-Recipient"] == "rfc822; bounced1@example.com"
    assert bounce.status["Remote-MTA"] == "dns; mx.example.com"
    assert bounce.status["Last-Attempt-Date"] == "Thu, 01 Jan 1970 00:00:01 +0000"
    *_, original = bounce.mail.iter_parts()
    headers = original.get_payload(decode=True).decode()
    assert f"Message-ID: <{bulk_id}.1@shop.example>" in headers
    assert "To: bounced1@example.com" in headers
    assert "Subject: =?utf-8?" in headers


async def test_a_later_failure_is_told_later_and_the_end_tells_the_rest(archive: Archive) -> None:
    bulk_id = await a_send(
        archive, ["bounced", "queued"], NotifyOn.FAILURE, NotifyOn.COMPLETION, mode=NotifyMode.EACH
    )
    assert await tell(archive, "tell_failures", bulk_id) == 1
    async with archive.writing() as connection:
        await connection.exec_driver_sql("UPDATE message SET state = 'expired' WHERE seq = 2")
    assert await tell(archive, "tell_end", bulk_id) == 2
    found = await notices_of(archive, bulk_id)
    assert [(one.seq, one.kind) for one in found] == [(1, "failure"), (2, "failure"), (0, "completion")]


async def test_a_delay_is_told_in_one_mail_or_for_each_message(archive: Archive) -> None:
    states = ["delivered", "deferred", "sending", "queued", "bounced"]
    (digest,) = await told(archive, "tell_delay", await a_send(archive, states, NotifyOn.DELAY))
    assert digest.mail["Subject"] == "spring: 3 of 5 not yet delivered"
    assert "1 deferred: reply 550\n" in digest.text

    each = await a_send(archive, states, NotifyOn.DELAY, mode=NotifyMode.EACH)
    found = await told(archive, "tell_delay", each)
    assert [(one.seq, one.kind, one.status["Action"]) for one in found] == [
        (seq, "delay", "delayed") for seq in (2, 3, 4)
    ]
    assert {"Will-Retry-Until", "Status"} <= set(found[0].status)
    nothing_open = await a_send(archive, ["delivered", "bounced"], NotifyOn.DELAY)
    assert await told(archive, "tell_delay", nothing_open) == []


async def test_two_that_tell_at_the_same_time_tell_once(archive: Archive) -> None:
    bulk_id = await a_send(archive, ["bounced"] * 120, *ALL, mode=NotifyMode.EACH)
    counts = await asyncio.gather(*(tell(archive, "tell_end", bulk_id) for _ in range(3)))
    assert sum(counts) == 121
    assert len(await notices_of(archive, bulk_id)) == 121
    async with archive.reading() as connection:
        made = await connection.execute(text("SELECT count(*) FROM bulk_send WHERE notice_of <> ''"))
        assert made.scalar_one() == 121


async def test_an_accident_while_a_notice_is_stored_leaves_nothing_told(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_id = await a_send(archive, ["bounced"])

    async def fail(*_arguments: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr("postwerk.archive.notices.queue_bulk_send", fail)
        with pytest.raises(OSError, match="no space"):
            await tell(archive, "tell_end", bulk_id)
    assert await notices_of(archive, bulk_id) == []
    assert len(await told(archive, "tell_end", bulk_id)) == 1
