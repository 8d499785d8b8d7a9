"""Starts the parts of a house, watches over them, restarts what may be restarted, and ends them in order."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable
from typing import IO

import httpx2

from postwerk.dev.house import House, migration, retention
from postwerk.dev.process import Part, Process, Watchdog
from postwerk.errors import PostwerkError

_START_SECONDS = 60.0
_POLL_SECONDS = 0.1
_RESTARTS = 3
"""In a row; a part that then ran for a minute has earned new ones."""
_STEADY_SECONDS = 60.0
_CONFIGURATION_EXIT = 2
"""Parts end with it when a setting is wrong: starting them again would not help."""
_ENDING_ORDER = ("worker", "api", "sandbox", "inbound", "temporal", "migrate", "retention")
"""Who uses another part ends before it."""
_PREVIOUS = ".previous.log"
"""The logs of the last run are kept beside those of this one."""


class PartFailed(PostwerkError):
    """A part of the system ended; its log says why."""


class Interrupted(Exception):
    """The user wants to stop."""


class Supervisor:
    """`with Supervisor(house) as supervisor: supervisor.start()`; the end of the block ends every part."""

    def __init__(
        self,
        house: House,
        *,
        say: Callable[[str], None] = print,
        told_to_stop: Callable[[], bool] = lambda: False,
        told_to_hurry: Callable[[], bool] = lambda: False,
        process: type[Process] = Process,
    ) -> None:
        self.house = house
        self._logs = house.data / "logs"
        self.running: dict[str, Process] = {}
        self._say = say
        self._told_to_stop = told_to_stop
        self._told_to_hurry = told_to_hurry
        self._process = process
        self._restarts: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._http = httpx2.Client(timeout=5)

    def __enter__(self) -> Supervisor:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._lock = _only_one(self.house)
        for log in self._logs.glob("*.log"):
            if not log.name.endswith(_PREVIOUS):
                log.replace(log.with_name(log.stem + _PREVIOUS))
        self._watchdog = Watchdog()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._watchdog.close()
        self._http.close()
        self._lock.close()

    # Starting

    def start(self) -> None:
        """Start every part and wait until all work together. Raises PartFailed or Interrupted."""
        for name in ("temporal", "sandbox"):
            self.launch(name)
        self._run_once(migration())
        self.launch("api")
        self.wait_for("temporal", "sandbox")
        if self.house.part("temporal") is not None:
            self._run_once(retention(self.house))
        self.launch("inbound")
        self.launch("worker")
        self.wait_for("api")
        self._wait_for_url("worker", f"{self.house.api_url}/readyz")

    def launch(self, name: str) -> None:
        """Start one part, if the house has it."""
        part = self.house.part(name)
        if part is not None:
            self._launch(part)

    def wait_for(self, *names: str) -> None:
        """Wait until these parts answer."""
        for name in names:
            part = self.house.part(name)
            if part is not None and part.ready_url:
                self._wait_for_url(name, part.ready_url)

    def _launch(self, part: Part) -> Process:
        self._forget(part.name)
        process = self._process(part, self._logs / f"{part.name}.log", self.house.environment, self._watchdog)
        self.running[part.name] = process
        return process

    def _run_once(self, part: Part) -> None:
        """A part that does one thing and ends."""
        process = self._launch(part)
        while process.exit_code is None:
            self.pause()
        code = process.exit_code
        self._forget(part.name)
        if code:
            raise PartFailed(process.last_lines(1)[-1] if process.last_lines(1) else f"{part.name} failed")

    def _wait_for_url(self, name: str, url: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers(url):
            if time.monotonic() > deadline:
                raise PartFailed(_story(self.running[name], f"did not get ready in {_START_SECONDS:.0f} s"))
            self.pause()

    def _answers(self, url: str) -> bool:
        try:
            return self._http.get(url).status_code == 200
        except httpx2.HTTPError:
            return False

    # Watching

    def pause(self, seconds: float = _POLL_SECONDS) -> None:
        """Let time pass while watching. Raises Interrupted, or PartFailed when a part has ended for good."""
        end = time.monotonic() + seconds
        while True:
            if self._told_to_stop():
                raise Interrupted
            self._look_after_parts()
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(left, _POLL_SECONDS))

    def stay(self) -> None:
        """Stay up until told to stop. Raises PartFailed."""
        self._say("Everything runs; Ctrl-C stops it.")
        with contextlib.suppress(Interrupted):
            while True:
                self.pause(60)

    def _look_after_parts(self) -> None:
        for name, process in list(self.running.items()):
            if name in self._due:
                if time.monotonic() >= self._due[name]:
                    del self._due[name]
                    self._launch(process.part)
            elif process.exit_code is not None and name not in ("migrate", "retention"):
                self._part_ended(process)

    def _part_ended(self, process: Process) -> None:
        part = process.part
        process.kill()  # and whatever it had started
        if time.monotonic() - process.started_at > _STEADY_SECONDS:
            self._restarts.pop(part.name, None)
        tried = self._restarts.get(part.name, 0)
        if not part.restarts or process.exit_code == _CONFIGURATION_EXIT or tried >= _RESTARTS:
            raise PartFailed(_story(process, f"ended unexpectedly ({_ending(process.exit_code)})"))
        self._restarts[part.name] = tried + 1
        self._due[part.name] = time.monotonic() + 2**tried
        self._say(
            f"The {part.name} ended unexpectedly ({_ending(process.exit_code)}); starting it again in "
            f"{2**tried} s ({tried + 1} of {_RESTARTS}). Log: {process.log}"
        )

    # Ending

    def stop(self) -> None:
        """End every part, users before what they use; a second Ctrl-C kills what is left."""
        others = [name for name in self.running if name not in _ENDING_ORDER]
        for name in (*others, *_ENDING_ORDER):
            self.end(name)

    def end(self, name: str) -> None:
        """Ask one part to end, and kill it when its time is over."""
        process = self.running.get(name)
        if process is None:
            return
        process.ask_to_end()
        deadline = time.monotonic() + process.part.grace_seconds
        while process.exit_code is None and time.monotonic() < deadline and not self._told_to_hurry():
            time.sleep(_POLL_SECONDS / 2)
        if process.exit_code is None:
            self._say(f"The {name} did not end by itself and was killed.")
        self._forget(name)

    def kill(self, name: str) -> None:
        """`kill -9`; it is not started again."""
        self._forget(name)

    def _forget(self, name: str) -> None:
        """Out of the list, and certainly dead."""
        process = self.running.pop(name, None)
        self._due.pop(name, None)
        if process is not None:
            process.kill()


def _only_one(house: House) -> IO[str]:
    """Two supervisors on one directory would ruin each other's Temporal file."""
    lock = (house.data / "supervisor.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise PostwerkError(
            f"{house.data} is in use by another `python -m postwerk dev` or `demo`; "
            "stop that one, or name another directory with --data."
        ) from error
    return lock


def _story(process: Process, what: str) -> str:
    """What happened, with the end of the log: the reader should not have to look for it."""
    lines = "\n".join(f"    {line}" for line in process.last_lines()) or "    (nothing)"
    return f"The {process.part.name} {what}. The last lines of {process.log}:\n{lines}"


def _ending(code: int | None) -> str:
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
