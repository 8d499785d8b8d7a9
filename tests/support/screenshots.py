"""Pictures of a page in light and dark, on a wide screen and on a phone: for people, and for what hangs over.

They are kept where SCREENSHOTS names a folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from playwright.async_api import Page

WIDE, PHONE = 1400, 390
_HEIGHT = 900
_FOLDER = os.environ.get("SCREENSHOTS")


async def picture(page: Page, name: str) -> None:
    """Look at it in each way; a page that is wider than its screen fails."""
    try:
        for width in (WIDE, PHONE):
            await page.set_viewport_size({"width": width, "height": _HEIGHT})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                await _one(page, f"{name}-{width}-{scheme}.png")
            over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, f"{name} is {over} px wider than a screen of {width}"
    finally:
        await page.set_viewport_size({"width": WIDE, "height": _HEIGHT})
        await page.emulate_media(color_scheme="light")


async def _one(page: Page, file: str) -> None:
    if _FOLDER:
        Path(_FOLDER).mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=Path(_FOLDER) / file, full_page=True)
