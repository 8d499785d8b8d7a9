"""When a workflow goes on in a new run: no history is to have more than 2,000 events."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import options


def is_long() -> bool:
    """Asked where it can go on afresh. Those that began before this was asked go on as they did."""
    if workflow.info().get_current_history_length() <= options.LONG_HISTORY:
        return False
    return workflow.patched("afresh-in-time")
