"""What processes cost: CPU time and memory, read from /proc, the children of each included."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of all that it started."""
    total = 0.0
    for process in _family(pid):
        with suppress(psutil.NoSuchProcess):  # a child that has just ended
            times = process.cpu_times()
            total += times.user + times.system
    return total


def rss_bytes(pid: int) -> int:
    return sum(process.memory_info().rss for process in _family(pid))


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


class CpuMeter:
    """`with CpuMeter({"worker": pid}) as cpu: ...`, then `cpu.microseconds_per(10_000)`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids

    def __enter__(self) -> Self:
        self._before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.seconds = {name: self._spent(name, pid) for name, pid in self._pids.items()}

    def _spent(self, name: str, pid: int) -> float:
        try:
            return cpu_seconds(pid) - self._before[name]
        except psutil.NoSuchProcess:
            raise RuntimeError(f"the {name} ended while it was measured") from None

    def microseconds_per(self, messages: int) -> dict[str, int]:
        return {name: round(spent / messages * 1e6) for name, spent in self.seconds.items()}


class MemoryMeter(threading.Thread):
    """The resident size of a process, looked at each second from `start()` to `stop()`."""

    def __init__(self, pid: int, every_seconds: float = 1.0) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self.samples: list[int] = []

    def run(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            self.samples.append(rss_bytes(self._pid))

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self.samples.append(rss_bytes(self._pid))

    @property
    def peak(self) -> int:
        return max(self.samples)
