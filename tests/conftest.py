"""Fixtures that any test may ask for."""

import sys
import time

import pytest

from tests.support.databases import archive, postgresql_server

__all__ = ["archive", "postgresql_server"]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the SDK's threads end: else the interpreter aborts now and then (SDK issue 300, code 134)."""
    if "temporalio" in sys.modules:
        time.sleep(0.5)
