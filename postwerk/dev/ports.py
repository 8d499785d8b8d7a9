"""Which ports to use: the usual one, or a free one when it is taken."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, field

_HOST = "127.0.0.1"
_LEFT_ALONE = range(15_000, 30_000)
"""No system takes one of these for a connection that somebody opens."""


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of this machine now."""
    with socket.socket() as door:
        # As servers do it: a port that only waits in TIME_WAIT is free.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((_HOST, port))
        except OSError:
            return False
    return not _answers(port)


def _answers(port: int) -> bool:
    """Some systems let two sockets bind one port; who answers a connection has it."""
    with socket.socket() as caller:
        caller.settimeout(0.5)
        return caller.connect_ex((_HOST, port)) == 0


@dataclass(slots=True)
class Ports:
    """Hands out ports, none of them twice."""

    usual: bool = True
    """False (in tests): always a free one, never the usual."""
    moved: dict[int, int] = field(default_factory=dict)
    """Usual port to the one taken instead."""
    _given: set[int] = field(default_factory=set)

    def take(self, usual: int) -> int:
        if self.usual and usual not in self._given and is_free(usual):
            self._given.add(usual)
            return usual
        port = self.any()
        if self.usual:
            self.moved[usual] = port
        return port

    def any(self) -> int:
        """One that nobody else is to find."""
        while True:
            port = random.choice(_LEFT_ALONE)
            if port not in self._given and is_free(port):
                self._given.add(port)
                return port
