"""The judge: Debian's smtp-sink, which takes everything, and a thread that notes how many it had when."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Self

from bench.programs import program
from postwerk.dev.ports import Ports
from postwerk.dev.process import Part, Process, Watchdog

_COUNT = re.compile(rb"mesg=\s*(\d+)")
_LOOK_SECONDS = 0.005
_TAIL_BYTES = 200
_SESSIONS = "2000"
_BACKLOG = "1000"


class SmtpSink:
    """`with SmtpSink(folder) as sink:` listens on `sink.port` until the end of the block."""

    def __init__(self, folder: Path) -> None:
        self.port = Ports(usual=False).take(0)
        self._folder = folder
        self._seen: list[tuple[float, int]] = []
        """When the count was first seen to be this high."""
        self._going = True

    def __enter__(self) -> Self:
        drop_root = ("-u", "nobody") if os.geteuid() == 0 else ()
        door = f"127.0.0.1:{self.port}"
        command = (program("smtp-sink"), *drop_root, "-c", "-m", _SESSIONS, door, _BACKLOG)
        self._watchdog = Watchdog()
        log = self._folder / f"smtp-sink-{self.port}.log"
        log.unlink(missing_ok=True)
        self._process = Process(Part("smtp-sink", command), log, dict(os.environ), self._watchdog)
        self._watcher = threading.Thread(target=self._watch, args=(log,), daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._going = False
        self._watcher.join()
        self._process.kill()
        self._watchdog.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def taken(self) -> int:
        """Mails that got their 250 so far."""
        return self._seen[-1][1] if self._seen else 0

    def reached_at(self, count: int) -> float:
        """The moment, by time.monotonic(), at which it had taken this many."""
        return next(moment for moment, taken in self._seen if taken >= count)

    def wait_for(self, count: int, seconds: float) -> float:
        """Wait until it has taken this many; answers the moment."""
        deadline = time.monotonic() + seconds
        while self.taken < count:
            if self._process.exit_code is not None:
                raise RuntimeError(f"smtp-sink ended: {self._process.last_lines(3)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"smtp-sink has {self.taken} mails of {count} after {seconds:.0f} s")
            time.sleep(_LOOK_SECONDS)
        return self.reached_at(count)

    def _watch(self, log: Path) -> None:
        with log.open("rb", buffering=0) as output:
            while self._going:
                end = os.fstat(output.fileno()).st_size
                tail = os.pread(output.fileno(), _TAIL_BYTES, max(0, end - _TAIL_BYTES))
                counts = _COUNT.findall(tail.rpartition(b"\r")[0])  # what follows may be half a number
                if counts and int(counts[-1]) > self.taken:
                    self._seen.append((time.monotonic(), int(counts[-1])))
                time.sleep(_LOOK_SECONDS)
