"""One message on the page: its story, its mail in a sandbox, and what may be done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api.page.headers import HEADERS
from postwerk.archive.columns import to_microseconds
from postwerk.archive.suppressions import NewSuppression, add_suppressions
from tests.support.api import Door
from tests.support.keys import a_key, caller
from tests.support.page import a_browser, a_browser_here
from tests.support.queue_scenes import GREYLISTED, a_lively_queue
from tests.support.queues import set_message


async def test_its_story_tells_each_attempt_in_the_servers_words(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    screen = await a_browser_here(page_door).get(f"/messages/{bulk_id}.1")

    steps = screen.all(".story li")
    assert [step.split(" ")[0] for step in steps] == ["Accepted", "Attempt", "Attempt", "Attempt"]
    for words in (
        "451 4.7.1",
        GREYLISTED,
        "mx1.gmail.example:25",
        "TLSv1.3",
        "after rcpt",
        "183 ms",
        "next try",
    ):
        assert words in steps[-1]
    assert "next try" not in steps[1]
    assert len(screen.tree.css(".story time[data-local]")) == 5
    facts = screen.said("#message-state")
    for words in (
        "deferred greylisted",
        "deferred by 451",
        "spring-news",
        "in 4 d 23 h",
        "3, deferred 3 times",
    ):
        assert words in facts


async def test_what_came_later_is_told_in_its_place(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    later = datetime.now(UTC) - timedelta(seconds=30)
    await set_message(page_door.archive, bulk_id, 4, late=True, last_text="no such user")
    await set_message(page_door.archive, bulk_id, 3, complained_at=to_microseconds(later))
    await set_message(page_door.archive, bulk_id, 9, state="expired", last_reason="deadline")
    async with page_door.archive.writing() as connection:
        entry = NewSuppression("alan.3@yahoo.com", "unsubscribe", bulk_id=bulk_id)
        await add_suppressions(connection, [entry], source="recipient", now=datetime.now(UTC))
    await page_door.http.post(f"/v1/messages/{bulk_id}.6/hold", json={"reason": "wrong price"})
    browser = a_browser_here(page_door)

    late = await browser.get(f"/messages/{bulk_id}.4")
    assert "Bounced after it had been delivered 550 no such user" in late.said(".story")
    third = (await browser.get(f"/messages/{bulk_id}.3")).all(".story li")
    assert "complained" in third[-2]
    assert "unsubscribed" in third[-1]
    assert "Given up: its time was over deadline" in (await browser.get(f"/messages/{bulk_id}.9")).said(
        ".story"
    )
    assert "hold by api wrong price" in (await browser.get(f"/messages/{bulk_id}.6")).said(".story")
    assert "may have two copies" in (await browser.get(f"/messages/{bulk_id}.5")).said("#message-state")


async def test_its_html_stands_in_a_sandbox_of_its_own(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    screen = await browser.get(f"/messages/{bulk_id}.1")
    frame = screen.tree.css_first("iframe")
    assert frame.attributes == {
        "sandbox": None,
        "src": f"/messages/{bulk_id}.1/html",
        "title": "The mail's HTML",
    }

    shown = await browser.get(str(frame.attributes["src"]))
    policy = shown.answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-")
    assert "allow-" not in policy
    assert shown.answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert shown.answer.headers["x-content-type-options"] == HEADERS["X-Content-Type-Options"]
    assert "<h1>Spring is here</h1>" in shown.answer.text
    assert "<h1>Spring" not in screen.answer.text


async def test_its_other_parts_are_text(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive, subject="Hi <b>there</b>")
    browser, at = a_browser_here(page_door), f"/messages/{bulk_id}.1"
    exact = (await page_door.http.get(f"/v1{at}/content")).content

    assert "Dear ada.1@gmail.com" in (await browser.get(f"{at}?tab=text")).said("#content pre")
    assert "Subject: Hi <b>there</b>" in (await browser.get(f"{at}?tab=headers")).said("#content pre")
    source = (await browser.get(f"{at}?tab=raw")).tree.css_first("#content pre").text()
    assert source.replace("\r", "") == exact.decode().replace("\r", "")
    events = await browser.get(f"{at}?tab=events")
    assert [row.split(" UTC ")[1].split(" ")[0] for row in events.all("#event-rows tbody tr")] == [
        "message.deferred"
    ]
    file = await browser.get(f"{at}/raw")
    assert (file.answer.content, file.answer.headers["content-type"]) == (exact, "message/rfc822")
    assert file.answer.headers["content-disposition"] == f'attachment; filename="{bulk_id}.1.eml"'


async def test_a_mail_that_cannot_be_made_says_why(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive, text="{{ 1 / 0 }}")
    browser = a_browser_here(page_door)
    for tab in ("", "?tab=text", "?tab=raw"):
        screen = await browser.get(f"/messages/{bulk_id}.1{tab}")
        assert screen.status == 200
        assert "This mail cannot be shown." in screen.said("#content .notice")
        assert "Attempt 3" in screen.text
    for part in ("html", "raw"):
        assert 400 < (await browser.get(f"/messages/{bulk_id}.1/{part}")).status < 500


async def test_its_buttons_do_what_its_state_allows(page_door: Door) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    browser = a_browser_here(page_door)
    screen = await browser.get(f"/messages/{bulk_id}.1")
    at = f"/messages/{bulk_id}.1"
    assert [screen.offers(f"{at}/{verb}") for verb in ("retry", "hold", "release", "cancel")] == [
        True, True, False, True,
    ]  # fmt: skip

    asked = await browser.send(screen, f"{at}/hold")
    assert asked.said("h1") == "Hold the message to ada.1@gmail.com ?"
    held = await browser.send(asked, f"{at}/hold", why="wrong price")
    assert held.notice == "1 message is held. More"
    assert "held by page: wrong price" in held.said("#message-state")
    released = await browser.send(held, f"{at}/release")
    assert released.notice == "1 message is released. More"
    ended = await browser.get(f"/messages/{bulk_id}.4")
    assert not ended.tree.css(".actions form")
    token = screen.tree.css_first("input[name=token]").attributes["value"]
    refused = await browser.post(f"/messages/{bulk_id}.4/retry", {"token": token})
    assert refused.status == 409
    assert "bounced" in refused.text


async def test_who_sent_it_may_look_and_act_and_nobody_else_who_may_only_send(page_door: Door) -> None:
    own, other = [await a_key(page_door.archive, "send", name=name) for name in ("Own", "Other")]
    async with caller(page_door, own.text) as http:
        body = {"from": "a@shop.example", "to": "x@gmx.de", "subject": "s", "text": "t"}
        made = (await http.post("/v1/messages", json=body)).json()["id"]
    for key, status in ((own, 200), (other, 404)):
        browser = a_browser(page_door)
        await browser.log_in(key.text)
        screen = await browser.get(f"/messages/{made}")
        assert screen.status == status
        assert (await browser.get(f"/messages/{made}/raw")).status == status
        assert screen.offers(f"/messages/{made}/cancel") is (status == 200)
        assert (await browser.get("/queue")).status == 403
