"""Fixtures that any test may ask for."""

import sys
import time

import pytest
from hypothesis import settings

from tests.support.databases import archive, postgresql_server

__all__ = ["archive", "postgresql_server"]

# How long one example took says how busy the machine is: those that mean time measure it themselves.
settings.register_profile("postwerk", deadline=None)
settings.load_profile("postwerk")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the SDK's threads end: else the interpreter aborts now and then (SDK issue 300, code 134)."""
    if "temporalio" in sys.modules:
        time.sleep(0.5)
