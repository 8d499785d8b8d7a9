"""These run on a server that hangs now and then: a test that it hangs in is run once more."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    again = pytest.mark.flaky(reruns=1, only_rerun=["SkippingServerHung"])
    for item in items:
        if item.path.parent.name == "time_skipping":
            item.add_marker(again)
