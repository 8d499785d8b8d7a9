"""The ways out of a worker process: for each relay its connections, and the desk of its lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from activities.lane_desk import LaneDesk
from postwerk.contracts.options import DEFAULT_RELAY
from postwerk.observe import log
from postwerk.smtp.pool import ConnectionPool


@dataclass(frozen=True, slots=True)
class Route:
    """One relay as a batch sees it. No two relays share a connection, a pace or a memory."""

    pool: ConnectionPool
    desk: LaneDesk


class Routes:
    """The relays that this process knows by its settings; one that nobody uses costs nothing."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {route.desk.relay: route for route in routes}
        self._missed: set[str] = set()
        self._reporting: list[asyncio.Task[None]] = []

    def find(self, relay: str) -> Route | None:
        """By the relay's name, empty for the default one. One that is not known is logged once."""
        name = relay or DEFAULT_RELAY
        route = self._routes.get(name)
        if route is None and name not in self._missed:
            self._missed.add(name)
            log.relay_unknown(name, sorted(self._routes))
        return route

    def start(self) -> None:
        """Begin to write down what happens on the lanes."""
        self._reporting = [
            asyncio.create_task(route.desk.report_forever()) for route in self._routes.values()
        ]

    async def close(self) -> None:
        for one in self._reporting:
            one.cancel()
        await asyncio.gather(*self._reporting, return_exceptions=True)
        await asyncio.gather(*(route.pool.close() for route in self._routes.values()))
