"""A receiver of webhooks in a process of its own, to be killed: it notes what it took, then says 200.

python -m tests.support.receiver_process PORT FILE SECRET DELAY
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from tests.support.receiver import Got, Receiver


class Taken(NamedTuple):
    """One event, as often as it came."""

    event_id: str
    at: float
    lag: float
    """Seconds since it happened."""
    message_id: str


class ReceiverProcess:
    """`with ReceiverProcess(folder) as receiver:` what it took is there whatever becomes of it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "taken.txt"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, secret: str, delay: float = 0.0) -> None:
        """It verifies each request, and takes none that is signed wrong; it answers after `delay` seconds."""
        command = [sys.executable, "-m", "tests.support.receiver_process", str(self.port), str(self._file)]
        command += [secret, str(delay)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def taken(self) -> Iterator[Taken]:
        """Everything so far; a line that a kill cut off was not answered."""
        text = self._file.read_text() if self._file.exists() else ""
        for line in text.split("\n")[:-1]:
            words = line.split(" ")
            if len(words) == 4:
                yield Taken(words[0], float(words[1]), float(words[2]), words[3])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(port: int, file: Path, secret: str, delay: float) -> None:
    with file.open("a", buffering=1) as out:

        def keep(got: Got) -> None:
            got.verified(secret)
            now = time.time()
            lines = (
                f"{event['id']} {now} {now - _moment(event['timestamp'])} {got.message_id}\n"
                for event in got.events
            )
            out.write("".join(lines))
            time.sleep(delay)  # in which it may be killed: what it took it has not answered

        receiver = Receiver(kept=keep)
        receiver.port = port
        with receiver:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            while True:
                time.sleep(3600)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
