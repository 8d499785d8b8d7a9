"""The queue at the door: list, count, summary, and what a held message tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api import queue_counting, queue_survey
from api.queue_schemas import QueueStates
from postwerk.archive.columns import to_microseconds
from postwerk.archive.engine import Archive
from postwerk.contracts.states import OPEN_STATES, MessageState
from tests.support.api import Door, open_door
from tests.support.queues import an_assorted_queue, an_operation, recount, set_message, set_send

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
async def door(archive: Archive) -> AsyncIterator[Door]:
    async with open_door(archive) as opened:
        yield opened
        await opened.parts.close()


@pytest.fixture
async def bulk_id(door: Door) -> str:
    """A running send to three people, accepted two hours ago, due to end in three days."""
    recipients = [{"to": f"{name}@gmx.de"} for name in ("ada", "bob", "carl")]
    bulk_id = str((await door.send(recipients=recipients)).json()["id"])
    now = datetime.now(UTC)
    began, end = to_microseconds(now - 2 * HOUR), to_microseconds(now + 72 * HOUR)
    await set_send(door.archive, bulk_id, state="running", accepted_at=began, started_at=began, deadline=end)
    return bulk_id


async def get(door: Door, path: str, **parameters: Any) -> Any:
    answer = await door.http.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def whole_list(door: Door, **parameters: Any) -> list[Any]:
    """A page is shorter than it could be when looking for more took long."""
    page: Any = {"has_more": True, "next": None}
    found: list[Any] = []
    while page["has_more"]:
        after = {"after": page["next"]} if page["next"] else {}
        page = await get(door, "/v1/queue/messages", limit=1000, **parameters, **after)
        found += page["data"]
    return found


def near(moment: str, expected: datetime) -> bool:
    return abs(datetime.fromisoformat(moment) - expected) < MINUTE


async def test_the_queue_is_listed_with_marks_and_ages(door: Door, bulk_id: str) -> None:
    hold = await an_operation(door.archive, "hold", "alice", "wrong price")
    await set_message(door.archive, bulk_id, 1, state="held", operation=hold, time_left=5_400_000_000)
    await set_message(door.archive, bulk_id, 2, state="sending")
    await recount(door.archive, bulk_id)

    held, sending, queued = (await get(door, "/v1/queue/messages"))["data"]

    assert [one["mark"] for one in (held, sending, queued)] == ["!", "*", ""]
    assert {one["bulk_name"] for one in (held, sending, queued)} == {"spring"}
    assert all(0 <= one["age"] - 7200 < 60 for one in (held, sending, queued))
    assert held["waits_for"]["reason"] == "held"
    assert held["waits_for"]["detail"] == "held by alice: wrong price"
    assert {**held["operation"], "at": ""} == {
        "id": hold, "verb": "hold", "by": "alice", "reason": "wrong price", "at": "",
    }  # fmt: skip
    assert near(held["deadline"], datetime.now(UTC) + 1.5 * HOUR)
    assert near(queued["deadline"], datetime.now(UTC) + 72 * HOUR)
    assert near(queued["accepted_at"], datetime.now(UTC) - 2 * HOUR)
    assert queued["operation"] is None


async def test_the_deadline_of_a_paused_send_moves_along(door: Door, bulk_id: str) -> None:
    paused = to_microseconds(datetime.now(UTC) - HOUR)
    await set_send(door.archive, bulk_id, state="paused", held_at=paused, reason="wrong price")
    await set_message(door.archive, bulk_id, 2, extra=2 * 3600 * 1_000_000)

    found = await get(door, f"/v1/messages/{bulk_id}.1")
    assert near(found["deadline"], datetime.now(UTC) + 73 * HOUR)
    assert found["waits_for"]["detail"] == "held: wrong price"
    assert near((await get(door, f"/v1/messages/{bulk_id}.2"))["deadline"], datetime.now(UTC) + 75 * HOUR)


async def test_pages_follow_their_cursor(door: Door) -> None:
    await an_assorted_queue(door.archive)
    everything = await whole_list(door)
    ids, after = [], None
    while True:
        page = await get(door, "/v1/queue/messages", limit=7, **({"after": after} if after else {}))
        ids += [one["id"] for one in page["data"]]
        assert page["has_more"] is (page["next"] is not None)
        if (after := page["next"]) is None:
            break
    assert ids == [one["id"] for one in everything]
    assert len(ids) == len(set(ids)) == (await get(door, "/v1/queue/count"))["count"] > 50


async def test_a_count_is_by_state_and_adds_up(door: Door) -> None:
    await an_assorted_queue(door.archive)
    whole = await get(door, "/v1/queue/count")
    parts = [await get(door, "/v1/queue/count", state=state) for state in whole["states"]]

    assert whole["count"] == sum(whole["states"].values()) == sum(part["count"] for part in parts)
    filtered = await get(door, "/v1/queue/count", provider="googlemail.com", code="4xx")
    listed = await whole_list(door, provider="googlemail.com", code="4xx")
    assert filtered["count"] == len(listed) > 0


@pytest.mark.parametrize("by", ["provider", "domain", "bulk", "reason", "state"])
async def test_a_summary_adds_up_to_the_counters(door: Door, by: str) -> None:
    await an_assorted_queue(door.archive)
    count = await get(door, "/v1/queue/count")
    found = await get(door, "/v1/queue/summary", by=by, buckets="5,60")

    total = found["total"]
    assert {state: total[state] for state in count["states"]} == count["states"]
    for column in ("total", *count["states"]):
        assert sum(row[column] for row in found["data"]) == total[column]
    ages = zip(*(row["by_age"] for row in found["data"]), strict=True)
    assert [sum(age) for age in ages] == total["by_age"]
    assert found["buckets"] == [5, 60]
    assert min(row["oldest_at"] for row in found["data"]) == total["oldest_at"]
    assert ([row["bulk_name"] for row in found["data"]] != [None] * len(found["data"])) is (by == "bulk")
    top = await get(door, "/v1/queue/summary", by=by, limit=1)
    assert (len(top["data"]), top["has_more"]) == (1, len(found["data"]) > 1)


async def test_a_large_queue_is_counted_in_the_background(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all who ask; until it is counted again the survey says of when it is."""
    small = [(by, await _summary(door, by)) for by in ("provider", "domain", "reason")]
    await an_assorted_queue(door.archive)
    exact = [(by, await _summary(door, by)) for by in ("provider", "domain", "reason")]
    assert exact != small
    monkeypatch.setattr(queue_counting, "SMALL", 0)
    monkeypatch.setattr(queue_survey, "SMALL", 0)

    surveyed = [(by, await _summary(door, by)) for by in ("provider", "domain", "reason")]
    assert surveyed == exact
    first = await get(door, "/v1/queue/count", provider="gmail.com")
    again = await get(door, "/v1/queue/count", provider="yahoo.com")
    listed = await whole_list(door, provider="gmail.com")
    assert first["as_of"] == again["as_of"]
    assert (first["count"], again["count"]) == (len(listed), 0)


async def _summary(door: Door, by: str) -> Any:
    found = await get(door, "/v1/queue/summary", by=by)
    return found["total"], found["data"]


async def test_an_empty_queue_is_empty(door: Door) -> None:
    assert (await get(door, "/v1/queue/messages"))["data"] == []
    assert (await get(door, "/v1/queue/count"))["states"] == {
        "queued": 0, "sending": 0, "deferred": 0, "held": 0,
    }  # fmt: skip
    found = await get(door, "/v1/queue/summary")
    assert (found["data"], found["total"]["total"], found["total"]["oldest_at"]) == ([], 0, None)
    assert len(found["total"]["by_age"]) == len(found["buckets"]) + 1 == 10


@pytest.mark.parametrize(
    ("path", "pointer", "code"),
    [
        ("messages?domain=a@gmx.de", "?domain", "invalid_domain"),
        ("messages?state=delivered", "?state", "invalid_state"),
        ("messages?after=x", "?after", "invalid_cursor"),
        ("messages?after=bulk_x.1", "?after", "invalid_cursor"),
        ("messages?limit=0", "?limit", "greater_than_equal"),
        ("messages?by=provider", "?by", "unknown_parameter"),
        ("count?limit=5", "?limit", "unknown_parameter"),
        ("count?all=true&code=451", "?all", "all_and_more"),
        ("summary?by=colour", "?by", "enum"),
        ("summary?buckets=5,5", "?buckets", "invalid_buckets"),
        ("summary?buckets=", "?buckets", "invalid_buckets"),
        ("summary?buckets=10,x", "?buckets", "invalid_buckets"),
        ("summary?provider=gmail.com", "?provider", "unknown_parameter"),
    ],
)
async def test_wrong_parameters_are_named(door: Door, path: str, pointer: str, code: str) -> None:
    answer = await door.http.get(f"/v1/queue/{path}")
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)


async def test_a_survey_goes_on_when_the_archive_was_away(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await an_assorted_queue(door.archive)
    for module in (queue_counting, queue_survey):
        monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(queue_survey, "QUEUES_FRESH_SECONDS", 0.0)
    async with door.archive.writing() as connection:
        await connection.execute(text("ALTER TABLE bulk_send RENAME TO away"))
    door.parts.survey.start()
    while door.parts.survey.failures < 2:
        await asyncio.sleep(0)
    async with door.archive.writing() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO bulk_send"))
    assert (await get(door, "/v1/queue/count", provider="gmail.com"))["count"] > 0


def test_every_open_state_has_a_column() -> None:
    assert {MessageState(name) for name in QueueStates.model_fields} == OPEN_STATES
