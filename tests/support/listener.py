"""The listener for mail that comes back, as a process of its own, to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

DOMAIN = "bounce.example"


class ListenerProcess:
    """`with ListenerProcess(database_url) as listener:` mail comes in at `listener.address`."""

    def __init__(self, database_url: str, **settings: str) -> None:
        self._settings: Mapping[str, str] = {
            "POSTWERK_DATABASE_URL": database_url,
            "POSTWERK_BOUNCE_DOMAIN": DOMAIN,
            "POSTWERK_INBOUND_PORT": "0",
            **{f"POSTWERK_INBOUND_{name.upper()}": value for name, value in settings.items()},
        }
        self.address = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTWERK_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "postwerk", "inbound"],
            env=kept | dict(self._settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        if not ready.startswith("inbound ready "):
            raise AssertionError(f"{ready}{self.log()}")
        self.address = ready.strip().partition("=")[2]

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.communicate()

    def stop(self) -> int:
        """SIGTERM; answers its exit code."""
        self._process.terminate()
        self._process.wait(timeout=20)
        return self._process.returncode

    def log(self) -> str:
        """All it has written, once it has ended."""
        return "".join(self._process.communicate(timeout=20))
