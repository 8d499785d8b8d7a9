"""The queue in a real browser: filter, tick, refresh, cancel; a message and its tabs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.api import Door
from tests.support.browser import needs_chromium
from tests.support.queue_scenes import a_lively_queue
from tests.support.queues import recount, set_message
from tests.support.screenshots import picture

pytestmark = [pytest.mark.slow, needs_chromium]
MOMENT = 15_000
"""Milliseconds within which a refresh, every two seconds, has come."""


@pytest.fixture
async def tab(chromium: Browser) -> AsyncIterator[Page]:
    """Nothing may be refused by the page's own policy, and no script may fail."""
    page = await chromium.new_page(viewport={"width": 1400, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await page.close()
    assert complaints == []


async def test_the_queue_is_filtered_and_ticks_survive_a_refresh(
    page_door: Door, page_at: str, tab: Page
) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    await tab.goto(f"{page_at}/queue")
    await tab.keyboard.press("/")
    await tab.keyboard.type("gmx.de")
    await tab.keyboard.press("Enter")
    await expect(tab).to_have_url(f"{page_at}/queue?domain=gmx.de")
    await expect(tab.locator("table.queue tbody tr")).to_have_count(12)
    for seq in (7, 12):
        await tab.locator(f"[id='tick-{bulk_id}.{seq}']").check()
    await expect(tab.locator("[data-ticked]")).to_have_text("2 ticked")

    await set_message(page_door.archive, bulk_id, 2, state="delivered")
    await set_message(page_door.archive, bulk_id, 17, last_text="Come back tomorrow")
    await recount(page_door.archive, bulk_id)

    await expect(tab.locator(f"[id='row-{bulk_id}.17']")).to_contain_text(
        "Come back tomorrow", timeout=MOMENT
    )
    await expect(tab.locator(f"[id='row-{bulk_id}.2']")).to_have_count(0, timeout=MOMENT)
    ticked = await tab.eval_on_selector_all("input[name=tick]:checked", "all => all.map(one => one.value)")
    assert ticked == [f"{bulk_id}.7", f"{bulk_id}.12"]

    await set_message(page_door.archive, bulk_id, 7, state="delivered")
    await recount(page_door.archive, bulk_id)
    await expect(tab.locator("[data-ticked]")).to_have_text("1 ticked", timeout=MOMENT)


async def test_ticked_and_all_that_match_are_cancelled_after_a_count(
    page_door: Door, page_at: str, tab: Page
) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    await tab.goto(f"{page_at}/queue?state=deferred")
    await tab.locator("[data-tick-all]").check()
    await expect(tab.locator("[data-ticked]")).to_have_text("37 ticked")
    await tab.locator("[data-tick-all]").uncheck()
    await tab.locator(f"[id='tick-{bulk_id}.8']").check()
    await tab.get_by_role("button", name="Cancel …").click()
    await expect(tab.locator("h1")).to_have_text("Cancel 1 message?")
    await tab.go_back()

    await tab.get_by_label("that match").check()
    await tab.get_by_role("button", name="Cancel …").click()
    await expect(tab.locator("h1")).to_have_text("Cancel 37 messages?")
    await expect(tab.locator("#why")).to_be_focused()
    await tab.keyboard.type("wrong price")
    await tab.keyboard.press("Enter")
    await expect(tab.locator(".notice")).to_contain_text("37 messages are cancelled.")
    await expect(tab.locator("#queue-total")).to_have_text("0")
    await tab.locator(".notice").get_by_role("link").click()
    await expect(tab.locator("#operation-state")).to_contain_text("wrong price")


async def test_a_message_and_its_tabs(page_door: Door, page_at: str, tab: Page) -> None:
    bulk_id = await a_lively_queue(page_door.archive, subject="Hi <b>there</b>")
    await tab.goto(f"{page_at}/queue")
    await tab.get_by_role("link", name="ada.1@gmail.com").click()
    await expect(tab.locator(".story li")).to_have_count(4)
    inside = tab.frame_locator("iframe")
    await expect(inside.locator("h1")).to_have_text("Spring is here")
    frame = tab.frames[1]
    assert await frame.evaluate("window.origin") == "null"
    for name, words in (
        ("Text", "spring is here"),
        ("Headers", "Subject: Hi <b>there</b>"),
        ("Source", "Content-Transfer-Encoding"),
        ("Variables", "It has none of its own."),
    ):
        await tab.get_by_role("link", name=name, exact=True).click()
        await expect(tab.locator("#content")).to_contain_text(words)

    await set_message(page_door.archive, bulk_id, 1, state="delivered", next_attempt_at=None)
    await expect(tab.locator("#message-state .badge")).to_have_text("delivered", timeout=MOMENT)


async def test_a_script_in_a_mail_does_nothing(page_door: Door, page_at: str, chromium: Browser) -> None:
    """Chromium says in its console that it runs none of it."""
    html = (
        "<p id=told>nothing ran</p><script>told.textContent = 'ran'</script><img src=x onerror=told.remove()>"
    )
    made = await page_door.send(html=html, recipients=[{"to": "ada@example.com"}])
    tab = await chromium.new_page()
    for path in (f"/messages/{made.json()['id']}.1", f"/messages/{made.json()['id']}.1/html"):
        await tab.goto(f"{page_at}{path}")
        at = tab.frame_locator("iframe") if not path.endswith("html") else tab
        await expect(at.locator("#told")).to_have_text("nothing ran")
    await tab.close()


async def test_no_screen_is_wider_than_its_window(page_door: Door, page_at: str, chromium: Browser) -> None:
    bulk_id = await a_lively_queue(page_door.archive)
    order = {"reason": "wrong price in the second paragraph"}
    held = await page_door.http.post(f"/v1/messages/{bulk_id}.7/hold", json=order)
    listed = {"address": "a" * 60 + "@gmx.de", "detail": "by phone"}
    await page_door.http.post("/v1/suppressions", json=listed)
    screens = {
        "queue": "/queue",
        "queue-wrong": "/queue?domain=a@b&code=9",
        "queue-ended": "/queue?state=bounced",
        "message": f"/messages/{bulk_id}.1",
        "message-source": f"/messages/{bulk_id}.1?tab=raw",
        "operation": f"/operations/{held.json()['id']}",
        **{name: f"/{name}" for name in ("operations", "audit", "events", "suppressions")},
    }
    tab = await chromium.new_page()
    for name, path in screens.items():
        await tab.goto(f"{page_at}{path}")
        await picture(tab, name)
    await tab.close()
