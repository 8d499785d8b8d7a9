"""One child process: in a session of its own, its output in a log file, ended with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import postwerk

ROOT = Path(postwerk.__file__).resolve().parents[1]
"""Where `python -m worker` and `api.app` are found."""


@dataclass(frozen=True, slots=True)
class Part:
    """What to start, and how it is treated."""

    name: str
    command: tuple[str, ...]
    ready_url: str = ""
    """Answers 200 when the part works."""
    restarts: bool = False
    """Started again when it dies; what holds a store is not, its end would go unnoticed."""
    grace_seconds: float = 10.0
    """How long it may take to end before it is killed."""


class Watchdog:
    """Our end of postwerk/dev/watchdog.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(Path(__file__).with_name("watchdog.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        self._say(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._say(f"-{group}\n")

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(timeout=10)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # without a watchdog we still end our children ourselves
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


class Running(Protocol):
    """What of `subprocess.Popen` is needed here."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Process:
    """A running part."""

    def __init__(self, part: Part, log: Path, environment: Mapping[str, str], watchdog: Watchdog) -> None:
        self.part = part
        self.log = log
        self._watchdog = watchdog
        self.started_at = time.monotonic()
        with log.open("ab") as output:
            self._running = self._begin(environment, output)
        watchdog.watch(self.pid)

    def _begin(self, environment: Mapping[str, str], output: IO[bytes]) -> Running:
        return subprocess.Popen(
            self.part.command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal must reach only the supervisor, which ends the parts in order.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when one ended it."""
        return self._running.poll()

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """`kill -9`, with everything it started."""
        self._signal(signal.SIGKILL)
        self._running.wait()
        self._watchdog.forget(self.pid)

    def end(self, seconds: float) -> bool:
        """Wait for its end at most so long, then kill what is left; True when it ended by itself."""
        by_itself = True
        try:
            self._running.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            by_itself = False
        self.kill()
        return by_itself

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 8192))
            return log.read().decode(errors="replace").splitlines()[-count:]

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
