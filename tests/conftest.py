"""Fixtures that any test may ask for."""

import sys
import time

import pytest
from hypothesis import settings

from tests.support.databases import POSTGRESQL, archive, migrated, postgresql_server

__all__ = ["archive", "migrated", "postgresql_server"]

# How long one example took says how busy the machine is: those that mean time measure it themselves.
settings.register_profile("postwerk", deadline=None)
settings.load_profile("postwerk")


# What these do in the archive differs most between the databases; the others' SQL is tried on both below
# them, and their own runs on PostgreSQL are for `make test-slow`, as are those of workflows and connections.
_ON_BOTH = ("test_api_queue", "test_api_idempotency", "test_api_single_messages")
_ABOUT_SOMETHING_ELSE = ("test_slow_sessions",)
_LONGEST_FIRST = ("faults", "whole_system", "time_skipping", "real_servers")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long is begun first, so that at the end no process waits for another."""
    for item in items:
        if _on_postgresql(item) and _is_enough_in_sqlite(item.path.parent.name, item.path.stem):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _place(item.path.parent.name))  # stable: the files stay together


def _is_enough_in_sqlite(folder: str, file: str) -> bool:
    """For `make test`: what it is about is not what it does in the archive."""
    is_of_the_api = file.startswith("test_api_") and file not in _ON_BOTH
    return is_of_the_api or folder == "time_skipping" or file in _ABOUT_SOMETHING_ELSE


def _on_postgresql(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("archive") == POSTGRESQL


def _place(folder: str) -> int:
    return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the SDK's threads end: else the interpreter aborts now and then (SDK issue 300, code 134)."""
    if "temporalio" in sys.modules:
        time.sleep(0.5)
