"""Fixtures of the browser's tests."""

from tests.support.browser import chromium, page_at
from tests.support.page_door import page_archive, page_door

__all__ = ["chromium", "page_archive", "page_at", "page_door"]
