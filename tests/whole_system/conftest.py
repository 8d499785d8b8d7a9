"""Fixtures of the whole system's tests."""

from tests.support.page_door import page_archive, page_door

__all__ = ["page_archive", "page_door"]
