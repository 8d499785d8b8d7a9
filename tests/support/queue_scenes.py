"""A small queue to look at: one bulk send whose messages have met with everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import TextClause, insert, text, update

from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.archive.tables import AttemptRow, BulkSendRow, MessageRow
from tests.support.queues import recount, set_send
from tests.support.seeding import a_content, a_stored_bulk_send

GREYLISTED = "Greylisted, please come back in five minutes"
HTML = (
    "<!doctype html><style>h1{color:#b02a5b;font-family:Georgia,serif}</style><body><h1>Spring is here</h1>"
    "<p>Dear {{ to }},</p><p>the garden opens on <b>Saturday</b>: tulips, tea and cake.</p>"
    '<p><a href="https://shop.example/garden">See the programme</a></p></body>'
)
_DOMAINS = ("gmail.com", "gmx.de", "yahoo.com", "outlook.com", "firma.example")


async def a_lively_queue(archive: Archive, messages: int = 60, **content: Any) -> str:
    """The id of a running send: 1 is deferred after three tries, 2 held, 3 delivered, 4 bounced, 5 sent twice
    perhaps; of the rest two of three are deferred and one is queued."""
    names = ("ada", "grace", "alan", "edsger", "barbara")
    addresses = [f"{names[n % 5]}.{n + 1}@{_DOMAINS[n % 5]}" for n in range(messages)]
    made = await a_stored_bulk_send(archive, addresses, content=a_content(html=HTML, **content))
    bulk_id, now = made.bulk_id, datetime.now(UTC)
    accepted = now - timedelta(minutes=42)
    await set_send(
        archive,
        bulk_id,
        name="spring-news",
        state="running",
        accepted_at=to_microseconds(accepted),
        deadline=to_microseconds(accepted + timedelta(days=5)),
    )
    async with archive.writing() as connection:
        for seq in range(1, messages + 1):
            await connection.execute(*_change(bulk_id, seq, _changes(seq, now)))
    await _told(archive, bulk_id, accepted)
    await recount(archive, bulk_id)
    return bulk_id


def _change(bulk_id: str, seq: int, changes: dict[str, Any]) -> tuple[TextClause, dict[str, Any]]:
    """All of them in one transaction."""
    values = ", ".join(f"{name} = :{name}" for name in changes)
    statement = text(f"UPDATE message SET {values} WHERE bulk_id = :bulk_id AND seq = :seq")
    return statement, {**changes, "bulk_id": bulk_id, "seq": seq}


def _changes(seq: int, now: datetime) -> dict[str, Any]:
    reply = {"attempts": 1, "last_stage": "rcpt", "changed_at": to_microseconds(now - timedelta(minutes=3))}
    deferred = {
        **reply,
        "state": "deferred",
        "deferrals": 1,
        "last_reason": "greylisted",
        "last_code": 451,
        "last_enhanced": "4.7.1",
        "last_text": GREYLISTED,
        "next_attempt_at": to_microseconds(now + timedelta(minutes=4, seconds=seq)),
    }
    return {
        1: {**deferred, "attempts": 3, "deferrals": 3},
        2: {**deferred, "state": "held", "next_attempt_at": None, "time_left": 4 * 86_400_000_000},
        3: {**reply, "state": "delivered", "last_reason": "delivered", "last_code": 250, "last_text": "OK"},
        4: {**reply, "state": "bounced", "last_reason": "user_unknown", "last_code": 550},
        5: {**deferred, "possible_duplicate": True, "state": "sending", "next_attempt_at": None},
    }.get(seq, deferred if seq % 3 else {"state": "queued"})


async def _told(archive: Archive, bulk_id: str, accepted: datetime) -> None:
    """The tries of the first message."""
    async with archive.writing() as connection:
        for number in (1, 2, 3):
            await connection.execute(
                insert(AttemptRow).values(
                    bulk_id=bulk_id,
                    seq=1,
                    number=number,
                    started_at=accepted + timedelta(minutes=10 * number),
                    milliseconds=180 + number,
                    outcome="deferred",
                    reason="greylisted",
                    stage="rcpt",
                    code=451,
                    enhanced="4.7.1",
                    text=GREYLISTED,
                    host="mx1.gmail.example:25",
                    tls="TLSv1.3",
                )
            )


async def set_everywhere(archive: Archive, bulk_id: str, words: str) -> None:
    """This text is whatever others may say of a send: names, variables, replies, hosts, reasons, metadata."""
    said = {"name": words, "last_text": words, "last_reason": words, "last_enhanced": words[:20]}
    whole = {"variables": {words: words, "list": [words]}, "metadata": {words: words}}
    async with archive.writing() as connection:
        await connection.execute(
            update(MessageRow).where(MessageRow.bulk_id == bulk_id).values(**said, **whole)  # type: ignore[arg-type]
        )
        await connection.execute(
            update(AttemptRow)
            .where(AttemptRow.bulk_id == bulk_id)  # type: ignore[arg-type]
            .values(text=words, host=words, tls=words, reason=words, stage=words, outcome=words)
        )
        await connection.execute(
            update(BulkSendRow)
            .where(BulkSendRow.id == bulk_id)  # type: ignore[arg-type]
            .values(name=words, reason=words, metadata={words: words})
        )
