"""When a workflow goes on in a new run: no history is to have more than 2,000 events."""

from __future__ import annotations

from temporalio import workflow

from workflows import options


def is_long() -> bool:
    """Those that began before this was asked go on as they did."""
    if workflow.info().is_continue_as_new_suggested():
        return True
    length = workflow.info().get_current_history_length()
    return length > options.LONG_HISTORY and workflow.patched("afresh-in-time")
