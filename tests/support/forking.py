"""Start programs of ours by a fork of one process that has imported everything (tests/support/zygote.py)."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.support.zygote import PASSED_ON

ROOT = Path(__file__).resolve().parents[2]
_LONGEST_START_SECONDS = 120
_PYTHON = (sys.executable, "-m")


class Forked:
    """A running program; what of `subprocess.Popen` its callers use."""

    def __init__(self, pid: int, answers: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._answers = answers

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(64))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from None
            self._answers.close()
        return self.returncode

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def fork(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
) -> Forked:
    """`python -m ...` in a session of its own; the descriptors stay open here."""
    assert tuple(command[:2]) == _PYTHON, command
    order = {
        "module": command[2],
        "arguments": list(command[3:]),
        "folder": str(folder),
        "environment": dict(environment),
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fds = [stdin, stdout, stderr, theirs.fileno()]
    assert len(fds) == PASSED_ON
    with theirs:
        socket.send_fds(_zygote(), [json.dumps(order).encode()], fds)
    return Forked(int(ours.recv(64)), ours)


def can_be_forked(command: Sequence[str]) -> bool:
    return tuple(command[:2]) == _PYTHON


@cache
def _zygote() -> socket.socket:
    """Where orders go. It ends with this process, or when told at its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [*_PYTHON, "tests.support.zygote", str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    ours.settimeout(_LONGEST_START_SECONDS)
    assert ours.recv(64) == b"ready\n", "it has told above why it does not start"
    ours.settimeout(None)
    atexit.register(_end, ours, process)
    return ours


def _end(orders: socket.socket, process: subprocess.Popen[bytes]) -> None:
    orders.close()
    process.wait(10)
