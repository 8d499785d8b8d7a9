"""A send of 2,000 from an empty form to its end, with a real browser, and every part of Postwerk real."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.browser import needs_chromium
from tests.support.screenshots import picture
from tests.support.system import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), needs_chromium]
PEOPLE = 2000
BOUNCING = 20
HTML = """<style>h1 { color: #1f4fc4; font-family: sans-serif }</style>
<h1>Dear {{ first_name }}</h1><p>spring is here. <img src="cid:logo" alt="a leaf" width="32" height="32"></p>
<script>document.title = "carried out"</script>"""
LOGO = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">
<path fill="green" d="M0 8C0 3 3 0 8 0c0 5-3 8-8 8"/></svg>"""


def a_list(folder: Path) -> Path:
    """Twenty of whom bounce, one stands twice in it, and one is no address."""
    people = [f"bounce+{n}@example.com;Bo {n};x" for n in range(BOUNCING)]
    people += [f"ok+{n}@example.com;Ada {n};x" for n in range(PEOPLE - BOUNCING)]
    people += ["ok+1@example.com;Again;x", "nobody at all;Nobody;x"]
    path = folder / "people.csv"
    path.write_text("E-Mail;First Name;Shoe size\n" + "\n".join(people) + "\n")
    return path


async def test_a_send_is_started_watched_paused_and_tried_again(chromium: Browser, tmp_path: Path) -> None:
    with System(tmp_path / "system") as system:
        page = await chromium.new_page(base_url=system.house.api_url)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        await write(page)
        await give_recipients(page, a_list(tmp_path))
        await look(page)
        await start(page)
        bulk_id = page.url.rpartition("/")[2]
        await pause_and_resume(page)
        await expect(page.locator("#part-send .badge.completed").first).to_be_visible(timeout=120_000)
        await retry(page)
        await cancel_another(page, bulk_id)
        await page.close()

        assert not errors
        await all_were_tried_twice(system, bulk_id)
        view = system.view(bulk_id)
        assert (view["counts"]["delivered"], view["rejected"], view["duplicates"]) == (
            PEOPLE - BOUNCING,
            1,
            1,
        )
        assert system.accounting(bulk_id)["adds_up"]


async def all_were_tried_twice(system: System, bulk_id: str) -> None:
    where = f"/v1/bulk-sends/{bulk_id}/messages?state=bounced"
    while [one["attempt_count"] for one in system.api.get(where).json()["data"]] != [2] * BOUNCING:
        await asyncio.sleep(0.1)  # until the time limit of the test


async def write(page: Page) -> None:
    """First wrong, then as it should be: nothing that was typed is typed again."""
    await page.goto("/sends/new")
    await picture(page, "1-empty")
    await page.get_by_label("Title").fill("Spring news")
    await page.get_by_label("From", exact=True).first.fill("news@@shop")
    await page.get_by_label("Subject").fill("Hello {{ first_name")
    await page.get_by_label("HTML", exact=True).fill(HTML)
    await page.get_by_label("Attachments").set_input_files(
        {"name": "leaf.svg", "mimeType": "image/svg+xml", "buffer": LOGO}
    )
    await page.get_by_label("Rate").fill("100/s")
    await page.get_by_role("button", name="On to the recipients").click()

    await expect(page.locator("#from-wrong")).to_be_visible()
    assert await page.evaluate("document.activeElement.name") == "from"
    await picture(page, "2-wrong")
    await page.locator("#from").fill("Shop <news@shop.example>")
    await page.get_by_label("Subject").fill("Hello {{ first_name }}")
    await page.get_by_label("Content id of leaf.svg").fill("logo")
    await page.get_by_role("button", name="On to the recipients").dblclick()
    await expect(page).to_have_url(re.compile("/draft/recipients$"))


async def give_recipients(page: Page, people: Path) -> None:
    await picture(page, "3-recipients")
    await page.get_by_label("A CSV file").set_input_files(people)
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("heading", name="What the columns of people.csv mean")).to_be_visible()
    await page.get_by_label("Column 3 is used as").select_option("nothing: leave it out")
    await picture(page, "4-columns")
    await page.get_by_role("button", name="Take these recipients").click()
    await expect(page.get_by_role("heading", name=f"{PEOPLE:,} recipients")).to_be_visible(timeout=30_000)
    await expect(page.get_by_text("1 row refused").first).to_be_visible()
    await picture(page, "5-taken")


async def look(page: Page) -> None:
    await page.get_by_role("link", name="On to the preview").click()
    frame = page.frame_locator("iframe").first
    await expect(frame.get_by_role("heading", name="Dear Bo 0")).to_be_visible()
    assert await frame.locator("img").evaluate("one => one.naturalWidth") > 0
    assert await page.title() != "carried out"
    await page.get_by_label("Send one real mail to").fill("ok+me@shop.example")
    await page.get_by_role("button", name="Send a test mail").click()
    await expect(page.get_by_role("status")).to_contain_text("A test mail is on its way")
    await picture(page, "6-preview")


async def start(page: Page) -> None:
    await page.get_by_role("link", name="On to sending").click()
    words = f"Send to {PEOPLE:,} recipients from news@shop.example, 100/s, now?"
    await expect(page.get_by_role("heading", name=words)).to_be_visible()
    await picture(page, "7-start")
    await page.get_by_role("button", name="Send to").dblclick()
    await expect(page.get_by_role("status")).to_contain_text("it is started")


async def pause_and_resume(page: Page) -> None:
    """On the overview, where its numbers move by themselves."""
    delivered = page.locator('[data-share="delivered"]').first
    await expect(delivered).not_to_have_text("0", timeout=30_000)
    await page.goto("/")
    card = page.locator(".send", has_text="Spring news").first
    before = await card.locator('[data-share="delivered"]').inner_text()
    await expect(card.locator('[data-share="delivered"]')).not_to_have_text(before, timeout=30_000)
    await card.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("status")).to_contain_text("Paused")
    await picture(page, "8-paused")
    await page.locator(".send", has_text="Spring news").first.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("status")).to_contain_text("Resumed")
    await page.locator(".send", has_text="Spring news").first.get_by_role("link").first.click()


async def retry(page: Page) -> None:
    """Those that bounced are tried once more; they bounce again."""
    await picture(page, "9-done")
    await page.get_by_role("link", name="Retry failed").click()
    await page.get_by_role("button", name=f"Try {BOUNCING} messages again").click()
    await expect(page.get_by_role("status")).to_contain_text(f"{BOUNCING} messages will be tried again")


async def cancel_another(page: Page, like: str) -> None:
    """Written like the first one, its recipients pasted; slow, and cancelled on its way."""
    await page.goto(f"/sends/new?like={like}")
    await page.get_by_label("Title").fill("Another")
    await page.get_by_label("Rate").fill("1/min")
    await page.get_by_role("button", name="On to the recipients").click()
    await page.get_by_label("or rows, pasted").fill(
        "to,first_name\n" + "".join(f"ok+{n}@example.com,A\n" for n in range(5))
    )
    await page.get_by_role("button", name="Upload").click()
    await page.get_by_role("button", name="Take these recipients").click()
    await page.get_by_role("link", name="On to the preview").click()
    await page.get_by_role("link", name="On to sending").click()
    await page.get_by_role("button", name="Send to").click()
    await page.get_by_role("link", name="Cancel").click()
    await page.get_by_role("button", name="Cancel the bulk send").click()
    await expect(page.locator("#part-send .badge.cancelled").first).to_be_visible(timeout=30_000)
