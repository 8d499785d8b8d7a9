"""The overview and the page of a bulk send: figures as the API has them, actions, and what stays text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import insert
from starlette.requests import Request

from api.dependencies import ApiConfig
from api.page.failure_memory import FailureMemory
from api.page.live import LiveBoard
from api.page.overview import Look, take_overview
from api.page.routes_overview import PARTS, live, look
from api.page.viewer import ANYBODY
from api.page.visit import Visit
from api.who import Caller
from postwerk.archive.engine import Archive
from postwerk.archive.outbox_tables import EventRow, TallyRow
from postwerk.archive.tables import AttemptRow
from tests.support.api import Door, open_door
from tests.support.keys import a_key
from tests.support.page import Screen, a_browser, a_browser_here
from tests.support.queues import recount, set_message, set_send

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


async def _sent(door: Door, **changes: Any) -> str:
    answer = await door.send(**changes)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def _running(door: Door, **changes: Any) -> str:
    """One that runs, as if a worker had begun with it: deferred, bounced, delivered, and the rest queued."""
    addresses = [{"to": f"u{n}@gmx.de"} for n in range(10)]
    bulk_id = await _sent(door, recipients=addresses, **changes)
    await set_send(door.archive, bulk_id, state="running")
    for seq, state in enumerate(["deferred", "deferred", "bounced", "delivered", "delivered"], start=1):
        await set_message(door.archive, bulk_id, seq, state=state, last_code=451)
    await recount(door.archive, bulk_id)
    return bulk_id


async def _figures(screen: Screen) -> dict[str, int]:
    found = screen.tree.css("#part-figures [data-exact]")
    return {one.parent.css_first("dt").text(): int(one.attributes["data-exact"]) for one in found}


async def test_its_counts_are_those_of_the_api(page_door: Door) -> None:
    running = await _running(page_door, name="spring")
    await _sent(page_door, name="later", recipients=[{"to": "x@example.com"}, {"to": "y@example.com"}])
    counted = (await page_door.http.get("/v1/queue/count")).json()

    screen = await a_browser_here(page_door).get("/")

    assert await _figures(screen) == {
        "In the queue": counted["count"],
        "Deferred": counted["states"]["deferred"],
    }
    shares = screen.tree.css(f"#send-{running} [data-share]")
    told = {one.attributes["data-share"]: int(one.text()) for one in shares}
    assert told == {"delivered": 2, "deferred": 2, "failed": 1, "left": 5}
    row = screen.tree.css_first("#lane-default-gmx\\.net")
    assert [one.text() for one in row.css("td[data-label=Queued]")] == ["7"]
    assert screen.said(f"#send-{running} .waits")
    assert 'curl -H "Authorization' in screen.tree.css_first("[data-copy]").attributes["data-copy"]


async def test_what_others_wrote_stays_text(page_door: Door) -> None:
    bulk_id = await _running(page_door, name=EVIL, metadata={"tags": [EVIL]})
    now = datetime.now(UTC)
    attempt = {
        "bulk_id": bulk_id, "seq": 1, "number": 1, "started_at": now, "outcome": "deferred", "stage": "rcpt",
        "reason": "greylisted", "code": 451, "text": EVIL, "milliseconds": 1,
    }  # fmt: skip
    event = {"at": now, "type": "message.deferred", "bulk_id": bulk_id, "seq": 1, "attempt": 1, "xid": 0}
    async with page_door.archive.writing() as connection:
        await connection.execute(insert(AttemptRow), [attempt])
        await connection.execute(insert(EventRow), [event])
    await page_door.http.post(f"/v1/bulk-sends/{bulk_id}/pause", json={"reason": EVIL})
    browser = a_browser_here(page_door)
    paths = ["/", f"/sends/{bulk_id}", f"/sends/{bulk_id}/cancel", f"/sends/{bulk_id}/rate"]
    for path in [*paths, f"/sends/{bulk_id}/retry-failed"]:
        screen = await browser.get(path)
        assert EVIL in " ".join(screen.all("h1, a, pre, p, td, title")), path
        assert [one.attributes.get("src") or "" for one in screen.tree.css("script")] == [
            one.attributes["src"] for one in screen.tree.css("script[src^='/static/']")
        ]
        assert screen.tree.css("img, [onerror], [style], style") == []
        assert "49" not in screen.title


async def test_pause_and_resume_by_one_button_each(page_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.bulk_orders.NOTED_WITHIN", 0.1)  # no worker is here to take note
    bulk_id = await _running(page_door, name="spring")
    browser = a_browser_here(page_door)

    paused = await browser.send(await browser.get("/"), f"/sends/{bulk_id}/pause")

    assert paused.notice == "Paused: spring."
    assert str(paused.answer.url).endswith("/")
    shown = (await page_door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()
    assert (shown["state"], shown["reason"]) == ("paused", "paused on the page")
    assert (await browser.get("/")).notice == ""  # told once
    assert not paused.offers(f"/sends/{bulk_id}/pause")

    await set_send(page_door.archive, bulk_id, started_at=1)
    page_door.temporal.started.clear()
    resumed = await browser.send(paused, f"/sends/{bulk_id}/resume")

    assert resumed.notice == "Resumed: spring."
    audit = (await page_door.http.get("/v1/audit")).json()["data"]
    assert {(one["action"], one["via"], one["by"]) for one in audit if one["target"] == bulk_id} == {
        ("bulk.pause", "page", "page"),
        ("bulk.resume", "page", "page"),
    }


async def test_cancelling_is_asked_about_first(page_door: Door) -> None:
    bulk_id = await _running(page_door, name="spring")
    browser = a_browser_here(page_door)
    asked = await browser.get((await browser.get("/")).link("Cancel"))
    assert "7 messages will not be sent" in asked.text
    cancelled = await browser.send(asked, f"/sends/{bulk_id}/cancel", reason="wrong list")
    assert cancelled.notice.startswith("Cancelled: spring.")
    shown = (await page_door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()
    assert shown["state"] in ("cancelling", "cancelled")
    again = await browser.get(f"/sends/{bulk_id}/cancel")
    assert "nothing left to cancel" in again.text


async def test_the_rate_is_changed_and_a_wrong_one_explained(page_door: Door) -> None:
    bulk_id = await _running(page_door)
    browser = a_browser_here(page_door)
    asked = await browser.get(f"/sends/{bulk_id}/rate")
    wrong = await browser.send(asked, f"/sends/{bulk_id}/rate", rate="quickly")
    assert (wrong.status, "This is not a rate" in wrong.text) == (422, True)
    right = await browser.send(asked, f"/sends/{bulk_id}/rate", rate="30/min")
    assert right.notice == "At most 30/min from now on."
    assert (await page_door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()["rate"] == "30/min"
    free = await browser.send(asked, f"/sends/{bulk_id}/rate", rate="")
    assert free.notice == "As fast as it goes from now on."


async def test_failed_messages_are_tried_again_after_a_look_at_how_many(page_door: Door) -> None:
    bulk_id = await _running(page_door)
    browser = a_browser_here(page_door)
    asked = await browser.get(f"/sends/{bulk_id}/retry-failed")
    assert "1 message that bounced, expired or failed" in asked.text
    done = await browser.send(asked, f"/sends/{bulk_id}/retry-failed")
    assert done.notice == "1 message will be tried again."
    counts = (await page_door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()["counts"]
    assert counts["bounced"] == 0
    assert "Nothing of it failed" in (await browser.get(f"/sends/{bulk_id}/retry-failed")).text


async def test_a_lane_is_suspended_and_resumed(page_door: Door) -> None:
    await _running(page_door)
    browser = a_browser_here(page_door)
    suspended = await browser.send(await browser.get("/"), "/lanes/suspend")
    assert suspended.notice.startswith("Nothing goes to gmx.net until ")
    assert suspended.said("#part-lanes .badge") == "suspended"
    resumed = await browser.send(suspended, "/lanes/resume")
    assert resumed.notice == "Mail goes to gmx.net again."
    [one] = (await page_door.http.get("/v1/suspensions")).json()["data"]
    assert (one["provider"], one["reason"]) == ("gmx.net", "suspended on the page")
    assert (await page_door.http.get("/v1/suspensions?active=true")).json()["data"] == []


@pytest.mark.parametrize(("scope", "may_act", "may_send"), [("read", False, False), ("operate", True, False)])
async def test_a_key_is_shown_what_it_may_do_and_refused_the_rest(
    page_door: Door, scope: str, may_act: bool, may_send: bool
) -> None:
    bulk_id = await _running(page_door)
    browser = a_browser(page_door)
    screen = await browser.log_in((await a_key(page_door.archive, scope)).text)
    assert screen.offers(f"/sends/{bulk_id}/pause") is may_act
    assert screen.offers("/lanes/suspend") is may_act
    assert ("New send" in screen.all("a")) is may_send
    token = screen.tree.css_first("input[name=token]").attributes["value"]
    for path in (f"/sends/{bulk_id}/pause", "/lanes/suspend"):
        answer = await browser.post(path, {"token": token, "lane": "gmx.net"})
        assert answer.status == (200 if may_act else 403), path


async def test_a_key_that_may_only_send_sees_its_own_sends_alone(page_door: Door) -> None:
    others = await _running(page_door)
    key = await a_key(page_door.archive, "send")
    headers = {"authorization": f"Bearer {key.text}"}
    browser = a_browser(page_door)
    await browser.log_in(key.text)
    made = await page_door.http.post("/v1/bulk-sends", json=_request(), headers=headers)
    own = made.json()["id"]
    assert (await browser.get(f"/sends/{own}")).status == 200
    assert (await browser.get(f"/sends/{others}")).status == 404
    assert (await browser.get("/")).status == 403


def _request() -> dict[str, Any]:
    return {"from": "a@shop.example", "subject": "x", "text": "y", "recipients": [{"to": "a@example.com"}]}


async def test_what_is_away_is_said_in_red(page_door: Door) -> None:
    browser = a_browser_here(page_door)
    page_door.temporal.workers = 0
    assert "No worker polls" in (await browser.get("/")).said("#part-health [role=alert]")
    page_door.parts.page.connected.forget()
    page_door.temporal.away = True
    assert "Temporal does not answer" in (await browser.get("/")).said("#part-health [role=alert]")
    page_door.parts.page.connected.forget()
    async with page_door.archive.writing() as connection:
        await connection.exec_driver_sql("DROP TABLE counter")
    gone = await browser.get("/")
    assert gone.status == 200
    assert "The archive does not answer" in gone.said("#part-health [role=alert]")


async def test_sends_are_paged(page_door: Door) -> None:
    ids = [await _sent(page_door, name=f"send {n}") for n in range(14)]
    browser = a_browser_here(page_door)
    first = await browser.get("/")
    second = await browser.get(first.link("Older"))
    shown = [one.attributes["id"] for screen in (first, second) for one in screen.tree.css("article.send")]
    assert shown == [f"send-{one}" for one in reversed(ids)]


async def test_the_chart_shows_what_was_tallied(page_door: Door) -> None:
    at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
    row = {"at": at, "lane": "gmx.net", "kind": "delivered", "shard": 0, "n": 70}
    async with page_door.archive.writing() as connection:
        await connection.execute(insert(TallyRow), [row])
    browser = a_browser_here(page_door)
    titles = (await browser.get("/")).all("#part-chart title")
    assert [title for title in titles if title.startswith(f"{at:%H:%M:%S} UTC: 7 delivered")]
    for name in ("1h", "24h", "x"):
        assert (await browser.get(f"/?span={name}&after=ended:x")).status == 200


# Live


def _visit(door: Door) -> Visit:
    scope = {"type": "http", "method": "GET", "path": "/live", "headers": [], "query_string": b""}
    scope |= {"scheme": "http", "server": ("127.0.0.1", 80)}
    return Visit(Request(scope), door.parts, "c" * 43, False, Caller())


async def _next(stream: AsyncIterator[Any]) -> dict[str, str]:
    event = await asyncio.wait_for(anext(stream), 10)
    found: dict[str, str] = orjson.loads(event.raw_data)
    return found


async def test_a_tab_gets_all_parts_and_then_what_changes(
    page_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.page.live.EVERY_SECONDS", 0.05)
    bulk_id = await _running(page_door, name="spring")
    visit = _visit(page_door)
    stream = live(visit)
    first = await _next(stream)
    assert set(first) == {f"part-{name}" for name in PARTS}
    assert visit.token in first["part-sends"]
    assert ANYBODY not in "".join(first.values())

    await page_door.http.patch(f"/v1/bulk-sends/{bulk_id}", json={"name": "summer"})
    changed: dict[str, str] = {}
    while "part-sends" not in changed:
        changed = await _next(stream)
    assert "summer" in changed["part-sends"]
    assert "part-failures" not in changed
    await stream.aclose()  # type: ignore[attr-defined]


async def test_all_who_look_at_the_same_share_one_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.page.live.EVERY_SECONDS", 0.01)
    board, drawn = LiveBoard(), 0

    async def draw() -> dict[str, str]:
        nonlocal drawn
        drawn += 1
        return {"n": str(drawn)}

    streams = [board.follow("same", draw) for _ in range(5)]
    for _ in range(3):
        await asyncio.gather(*(anext(stream) for stream in streams))
    assert drawn <= board.draws + 1
    assert board.draws <= 4
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    while board._drawing and not board._drawing.done():
        await asyncio.sleep(0.01)
    before = drawn
    await asyncio.sleep(0.05)
    assert drawn == before  # nobody looks, nothing is rendered
    await board.close()


async def test_streams_end_when_the_process_stops() -> None:
    board = LiveBoard()

    async def draw() -> dict[str, str]:
        return {"n": "1"}

    stream = board.follow("x", draw)
    assert await anext(stream) == {"n": "1"}
    waiting = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0)
    board.stop()
    assert await asyncio.wait_for(waiting, 5) is None
    await board.close()


async def test_replies_are_grouped_and_said_to_be_a_sample_when_they_are_many(
    page_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_id, now = await _running(page_door), datetime.now(UTC)
    attempts = [
        {"bulk_id": bulk_id, "seq": 1, "number": n, "started_at": now, "outcome": "deferred", "stage": "rcpt",
         "reason": "greylisted", "code": 450, "enhanced": "4.2.0", "text": f"<u{n}@gmx.de> later {n}"}
        for n in range(1, 41)
    ]  # fmt: skip
    events = [
        {"at": now, "type": "message.deferred", "bulk_id": bulk_id, "seq": 1, "attempt": n, "xid": 0}
        for n in range(1, 41)
    ]
    async with page_door.archive.writing() as connection:
        await connection.execute(insert(AttemptRow), attempts)
        await connection.execute(insert(EventRow), events)
    screen = await a_browser_here(page_door).get("/")
    [row] = screen.tree.css("#part-failures tbody tr")
    assert row.css_first("td").text() == "40"
    assert "sample" not in screen.said("#part-failures header")
    assert screen.link("in the queue") == "/queue?code=450&provider=gmx.net"

    monkeypatch.setattr("postwerk.archive.failures.LOOKED_AT", 10)
    monkeypatch.setattr("api.page.failure_memory.LOOKED_AT", 10)
    few = await FailureMemory(page_door.archive).latest(now)
    assert (few.kinds[0].n, few.is_sample) == (10, True)


def test_an_address_that_cannot_be_read_means_the_first_page() -> None:
    assert look("", "") == look("2y", "ended:x") == Look()
    found = look("24h", f"live:bulk_{'0' * 26}")
    assert (found.span.name, found.after) == ("24h", (False, f"bulk_{'0' * 26}"))


async def test_the_page_does_not_wait_for_temporal(page_archive: Archive) -> None:
    """It answers with what is known; what hangs is asked in the background."""
    async with open_door(page_archive, ApiConfig()) as door:
        never = asyncio.Event()

        async def hang(*_: Any, **__: Any) -> None:
            await never.wait()

        door.temporal.workflow_service.describe_task_queue = hang
        found = await asyncio.wait_for(take_overview(door.parts, Look()), 5)
        assert "being asked" in str(found.health.signs)
        await door.parts.close()
