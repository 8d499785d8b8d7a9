"""`python -m postwerk dev` and `demo`, run as a user runs them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from postwerk.dev.process import ROOT

_START_SECONDS = 60
_STOP_SECONDS = 30


class Command:
    """A running `python -m postwerk ...` and what it has printed."""

    def __init__(self, log: Path, *arguments: str) -> None:
        ours = ("POSTWERK_", "TEMPORAL_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "postwerk", *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while text not in self.printed:
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.05)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process:
        return next(one for one in self.children() if words in " ".join(one.cmdline()))


@contextmanager
def command(tmp_path: Path, *arguments: str) -> Iterator[Command]:
    running = Command(tmp_path / "printed.txt", *arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(_STOP_SECONDS)


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody listens there: we, or whoever did already."""
    with socket.socket() as door:
        with suppress(OSError):
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", port))
            door.listen()
        yield


def test_the_demo_accounts_for_every_mail(tmp_path: Path) -> None:
    with command(tmp_path, "demo", "--once", "--data", str(tmp_path / "data")) as demo:
        assert demo.process.wait(150) == 0, demo.printed
    assert "975 delivered + 25 bounced = 1,000 accepted: all accounted for" in demo.printed
    assert "The sandbox took 975 mails, the API says the same." in demo.printed
    assert re.search(r"http://127\.0\.0\.1:\d+/namespaces/default/workflows/bulk-bulk_\w+", demo.printed)


def test_ctrl_c_leaves_no_process_behind_and_a_taken_port_is_replaced(tmp_path: Path) -> None:
    with taken(8025), command(tmp_path, "dev", "--data", str(tmp_path / "data")) as dev:
        dev.wait_for("Everything runs")
        children = dev.children()
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(_STOP_SECONDS) == 0
    assert "Port 8025 is taken; " in dev.printed
    assert "was killed" not in dev.printed
    assert len(children) >= 5, "Temporal, sandbox, API, worker and watchdog were expected"
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_kill_9_of_the_supervisor_leaves_no_process_behind(tmp_path: Path) -> None:
    with command(tmp_path, "dev", "--data", str(tmp_path / "data")) as dev:
        dev.wait_for("Everything runs")
        children = dev.children()
        dev.process.kill()
        dev.process.wait()
        assert psutil.wait_procs(children, timeout=20)[1] == []


def test_a_worker_that_dies_is_started_again_and_a_dead_sandbox_ends_everything(tmp_path: Path) -> None:
    with command(tmp_path, "dev", "--data", str(tmp_path / "data")) as dev:
        dev.wait_for("Everything runs")
        killed = dev.child("-m worker")
        killed.kill()
        dev.wait_for("The worker ended unexpectedly (killed by signal 9); starting it again in 1 s (1 of 3)")
        children = dev.children()
        dev.child("postwerk.sandbox").kill()
        assert dev.process.wait(_STOP_SECONDS) == 1
        assert psutil.wait_procs([*children, killed], timeout=5)[1] == []
    assert "The sandbox ended unexpectedly (killed by signal 9). The last lines of" in dev.printed


def test_two_of_them_do_not_share_a_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with command(tmp_path, "dev", "--data", str(data)) as first:
        first.wait_for("Starting in")
        while not (data / "logs").exists():
            time.sleep(0.01)
        second = subprocess.run(
            [sys.executable, "-m", "postwerk", "dev", "--data", str(data)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
        )
    assert second.returncode == 2
    assert second.stderr.startswith(f"postwerk dev: {data} is in use by another")
    assert second.stderr.count("\n") == 1
