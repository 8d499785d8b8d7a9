"""Waiting for a moment that may be moved while it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from temporalio import workflow


async def until(
    condition: Callable[[], bool], moment: Callable[[], datetime | None], summary: str = ""
) -> None:
    """Returns when the condition holds, or when the moment has come; None: there is none for now.

    A durable timer for as long as there is a moment, another one when that is moved; none without.
    """
    while not condition():
        at = moment()

        def changed(at: datetime | None = at) -> bool:
            return condition() or moment() != at

        if at is None:
            await workflow.wait_condition(changed)
        elif at <= workflow.now():
            return
        else:
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    changed, timeout=at - workflow.now(), timeout_summary=summary or None
                )
