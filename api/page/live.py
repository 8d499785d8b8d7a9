"""Live parts: rendered once for everybody who looks at the same, every two seconds, while anybody does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from postwerk.errors import PostwerkError
from postwerk.observe import log

EVERY_SECONDS = 2.0
SHARE = 20
"""Rendering that took a second is done every twenty: it never takes more than a twentieth of the time."""
AWAY = "away"

Parts = Mapping[str, str]
"""HTML of elements by their ids."""
Render = Callable[[], Awaitable[Parts]]


@dataclass(slots=True)
class _Scene:
    """What several tabs look at."""

    render: Render
    lookers: int = 0
    parts: Parts = field(default_factory=dict)
    drawn: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and replaced each time it was rendered."""


class LiveBoard:
    """All scenes that somebody looks at."""

    def __init__(self) -> None:
        self._scenes: dict[Hashable, _Scene] = {}
        self._drawing: asyncio.Task[None] | None = None
        self._stopping = False
        self.draws = 0
        """How often a scene was rendered."""

    async def follow(self, key: Hashable, render: Render) -> AsyncIterator[Parts]:
        """The scene's parts as they change, all of them first. The same `key` means the same parts.

        Nothing changed: an empty answer after some seconds, so that the caller sees who is still there.
        """
        scene = self._scenes.setdefault(key, _Scene(render))
        scene.lookers += 1
        self._start()
        try:
            sent: dict[str, str] = {}
            while not self._stopping:
                drawn = scene.drawn
                changed = {id_: html for id_, html in scene.parts.items() if sent.get(id_) != html}
                if changed or sent:
                    yield changed
                sent |= changed
                await drawn.wait()
        finally:
            scene.lookers -= 1
            if not scene.lookers:
                self._scenes.pop(key, None)

    def stop(self) -> None:
        """End every stream: the process stops, and a server waits for answers that would never end."""
        self._stopping = True
        for scene in self._scenes.values():
            scene.drawn.set()

    async def close(self) -> None:
        if self._drawing is not None:
            self._drawing.cancel()
            await asyncio.gather(self._drawing, return_exceptions=True)

    def _start(self) -> None:
        if self._drawing is None or self._drawing.done():
            self._drawing = asyncio.create_task(self._draw_while_looked_at(), name="page-live")

    async def _draw_while_looked_at(self) -> None:
        while self._scenes:
            began = time.monotonic()
            for scene in list(self._scenes.values()):
                await self._draw(scene)
            await asyncio.sleep(max(EVERY_SECONDS, SHARE * (time.monotonic() - began)))

    async def _draw(self, scene: _Scene) -> None:
        try:
            scene.parts = await scene.render()
            self.draws += 1
        except (SQLAlchemyError, OSError, TimeoutError, PostwerkError) as error:
            log.part_not_drawn(error)
        drawn, scene.drawn = scene.drawn, asyncio.Event()
        drawn.set()
