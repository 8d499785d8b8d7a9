"""The queue on the page: found by the API's criteria, and operated by its orders; without any script."""

from __future__ import annotations

from typing import Any

import pytest
from selectolax.lexbor import LexborNode

from postwerk.archive import reads
from postwerk.contracts.states import MessageState
from tests.support.api import Door
from tests.support.keys import a_key
from tests.support.page import Browser, Screen, a_browser, a_browser_here
from tests.support.queue_scenes import GREYLISTED, a_lively_queue
from tests.support.queues import set_send


def rows(screen: Screen) -> list[LexborNode]:
    return screen.tree.css("table.queue tbody tr")


def ids(screen: Screen) -> list[str]:
    return [str(row.attributes["id"]).removeprefix("row-") for row in rows(screen)]


def row(screen: Screen, id_: str) -> str:
    [found] = [one for one in rows(screen) if one.attributes["id"] == f"row-{id_}"]
    return " ".join(found.text(separator=" ").split())


async def states(door: Door, bulk_id: str, *seqs: int) -> list[str]:
    async with door.archive.reading() as connection:
        return [(await reads.message(connection, bulk_id, seq)).state.value for seq in seqs]


async def audit(door: Door) -> list[dict[str, Any]]:
    return list((await door.http.get("/v1/audit")).json()["data"])


async def test_a_row_tells_where_a_message_stands_and_why(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    screen = await a_browser_here(page_door).get("/queue")

    told = row(screen, f"{bulk_id}.1")
    for word in (
        "deferred",
        "ada.1@gmail.com",
        "spring-news",
        "42 min",
        "3",
        "in 4 min",
        f"451 4.7.1 {GREYLISTED}",
    ):
        assert word in told
    assert row(screen, f"{bulk_id}.2").startswith("! held")
    assert "held by an operator" in row(screen, f"{bulk_id}.2")
    assert row(screen, f"{bulk_id}.5").startswith("* sending")
    assert "A second copy may exist." in row(screen, f"{bulk_id}.5")
    assert screen.said("#queue-states") == "58 waiting 19 queued 1 sending 37 deferred 1 held"


FILTERS = [
    "state=held",
    "state=queued&state=held",
    "domain=gmx.de",
    "provider=outlook.com&code=451",
    "recipient=ADA.1@gmail.com",
    "code=4xx&older_than=10m",
    "reason=greylisted",
    "q=barbara",
    "younger_than=10m",
]


async def test_a_filter_means_what_it_means_in_the_api(page_door: Door) -> None:
    await a_lively_queue(page_door.archive)
    for query in FILTERS:
        screen = await a_browser_here(page_door).get(f"/queue?{query}")

        found = (await page_door.http.get(f"/v1/queue/messages?{query}&limit=50")).json()["data"]
        counted = (await page_door.http.get(f"/v1/queue/count?{query}")).json()["count"]
        assert ids(screen) == [one["id"] for one in found], query
        assert screen.said("#queue-total") == str(counted), query


async def test_pages_follow_each_other(page_door: Door) -> None:
    await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    first = await browser.get("/queue")
    second = await browser.get(first.link("Next page"))
    everything = (await page_door.http.get("/v1/queue/messages")).json()["data"]
    assert ids(first) + ids(second) == [one["id"] for one in everything]
    assert second.link("First page") == "/queue"


async def test_search_words_lead_to_the_criterion_that_they_are(page_door: Door) -> None:
    await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    # A form of method GET: its fields stand in the address.
    found = await browser.get("/queue?q=gmx.de&state=&domain=")
    assert found.answer.url.query == b"domain=gmx.de"
    assert found.tree.css_first("#c-domain").attributes["value"] == "gmx.de"


async def test_what_cannot_be_taken_is_said_beside_its_field(page_door: Door) -> None:
    screen = await a_browser_here(page_door).get("/queue?domain=a@b&code=9")
    assert screen.status == 422
    assert "gmx.de" in screen.said("#w-domain")
    assert "451" in screen.said("#w-code")
    assert not screen.offers("/queue/confirm")


async def test_ended_messages_are_found_by_state(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    other = await a_lively_queue(page_door.archive)
    await set_send(page_door.archive, other, state="completed")
    browser = a_browser_here(page_door)
    assert ids(await browser.get("/queue?q=bounced")) == [f"{bulk_id}.4", f"{other}.4"]
    bounced = await browser.get(f"/queue?state=bounced&bulk={bulk_id}")
    assert ids(bounced) == [f"{bulk_id}.4"]
    assert not bounced.offers("/queue/confirm")
    assert ids(await browser.get("/queue?state=bounced&provider=gmail.com")) == []
    assert ids(await browser.get(f"/queue?state=bounced&code=550&older_than=5m&bulk={other}")) == [
        f"{other}.4"
    ]


VERBS = [
    ("hold", (1, 6), "held"),
    ("release", (2,), "deferred"),
    ("retry", (7, 8), "deferred"),
    ("cancel", (10, 11), "cancelled"),
    ("expire", (13, 14), "expired"),
]


async def test_ticked_messages_are_counted_and_then_changed(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    for verb, seqs, becomes in VERBS:
        before = await states(page_door, bulk_id, *seqs)
        tick = [f"{bulk_id}.{seq}" for seq in seqs]

        asked = await browser.send(
            await browser.get("/queue?code=451"), "/queue/confirm", verb=verb, tick=tick
        )
        assert f"Messages {len(seqs)} (" in asked.text, verb
        assert await states(page_door, bulk_id, *seqs) == before

        done = await send_again(browser, asked, why="wrong price")
        assert done.notice.startswith(f"{len(seqs)} message"), verb
        assert done.answer.url.query == b"code=451"
        assert await states(page_door, bulk_id, *seqs) == [becomes] * len(seqs), verb
        [entry, *_] = await audit(page_door)
        told = [entry[name] for name in ("action", "via", "by", "reason", "count")]
        assert told == [f"queue.{verb}", "page", "page", "wrong price", len(seqs)]
        assert entry["operation"] in done.link("More")


async def send_again(browser: Browser, screen: Screen, **fields: Any) -> Screen:
    """The form of the page that asks; its hidden fields may come several times."""
    form = screen.form("/queue/do")
    hidden: dict[str, Any] = {}
    for one in form.css("input[type=hidden]"):
        hidden.setdefault(str(one.attributes["name"]), []).append(one.attributes["value"])
    return await browser.post("/queue/do", {**hidden, **fields})


async def test_all_that_match_are_meant_on_every_page(page_door: Door) -> None:
    await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    asked = await browser.send(
        await browser.get("/queue?state=deferred"), "/queue/confirm", verb="hold", everything="1"
    )
    assert asked.said("h1") == "Hold 37 messages?"
    done = await send_again(browser, asked, why="wrong price")
    assert done.notice.startswith("37 messages are held.")
    assert (await page_door.http.get("/v1/queue/count?state=held")).json()["count"] == 38


async def test_to_hold_the_whole_queue_pauses_its_sends(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    asked = await browser.send(await browser.get("/queue"), "/queue/confirm", verb="hold", everything="1")
    assert "Whole bulk sends are meant: they are paused." in asked.text
    await send_again(browser, asked, why="stop")
    assert (await page_door.http.get(f"/v1/bulk-sends/{bulk_id}")).json()["state"] == "paused"


async def test_a_large_one_becomes_an_operation_whose_progress_is_shown(
    page_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.operator.SMALL", 20)
    await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    asked = await browser.send(
        await browser.get("/queue?state=deferred"), "/queue/confirm", verb="cancel", everything="1"
    )
    done = await send_again(browser, asked, why="stop")
    assert done.answer.url.path.startswith("/operations/op_")
    assert "under way" in done.notice
    assert "Meant 37 messages" in done.text
    assert done.tree.css_first(f"[data-live='/live{done.answer.url.path}']") is not None


async def test_nothing_is_done_without_a_reason_where_one_is_needed(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    tick = [f"{bulk_id}.1"]
    asked = await browser.send(await browser.get("/queue"), "/queue/confirm", verb="cancel", tick=tick)
    again = await send_again(browser, asked, why=" ")
    assert again.status == 422
    assert "Say why" in again.said("#why-wrong")
    assert await states(page_door, bulk_id, 1) == ["deferred"]
    assert (await send_again(browser, again, why="x")).notice == "1 message is cancelled. More"


async def test_without_ticks_nothing_is_meant(page_door: Door) -> None:
    await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    screen = await browser.get("/queue?domain=gmx.de")
    for fields in ({"verb": "cancel"}, {"verb": "cancel", "tick": ""}):
        answer = await browser.send(screen, "/queue/confirm", **fields)
        assert not answer.offers("/queue/do")
    token = screen.tree.css_first("input[name=token]").attributes["value"]
    bare = {"token": token, "verb": "cancel", "why": "x"}
    for more in (
        {},
        {"tick": "x"},
        {"everything": "1", "state": "bounced"},
        {"everything": "1", "domain": "a@b"},
    ):
        assert (await browser.post("/queue/do", bare | more)).status == 422
    assert (await browser.post("/queue/do", bare | {"verb": "retry_failed", "everything": "1"})).status == 422
    assert await audit(page_door) == []


async def test_who_may_only_look_is_offered_nothing_and_refused(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    browser = a_browser(page_door)
    await browser.log_in((await a_key(page_door.archive, "read")).text)
    screen = await browser.get("/queue")
    assert ids(screen)
    assert not screen.offers("/queue/confirm")
    assert not screen.tree.css("input[name=tick]")
    token = screen.tree.css_first("input[name=token]").attributes["value"]
    fields = {"token": token, "verb": "cancel", "tick": f"{bulk_id}.1", "why": "x"}
    for path in ("/queue/confirm", "/queue/do", f"/messages/{bulk_id}.1/cancel"):
        assert (await browser.post(path, fields)).status == 403
    assert await states(page_door, bulk_id, 1) == [MessageState.DEFERRED]
