"""What goes on in this process when the request that began it has been answered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from postwerk.observe import log


class Background:
    """Pieces of work by name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """What is under way already by this name is not begun again."""
        if name in self._tasks:
            work.close()
            return self._tasks[name]
        task = self._tasks[name] = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        return task

    def has(self, name: str) -> bool:
        return name in self._tasks

    async def close(self) -> None:
        """Stop what is under way; what it stored stays, and is gone on with later."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task.get_name(), None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.broke_off(task.get_name(), error)
