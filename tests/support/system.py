"""Postwerk as its users run it: real processes in a directory of its own, on free ports, to be killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self

import httpx2

from postwerk.archive import reads
from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.contracts.states import FINAL_STATES
from postwerk.dev.house import House, Wishes, plan_house, temporal_program
from postwerk.dev.ports import Ports
from postwerk.dev.process import ROOT, Process, Running
from postwerk.dev.supervisor import Supervisor
from tests.support.forking import can_be_forked, fork
from tests.support.sandbox import SandboxProcess


class ForkedProcess(Process):
    """A part whose imports are made already; those that are no Python start as ever."""

    def _begin(self, environment: Mapping[str, str], output: IO[bytes]) -> Running:
        if not can_be_forked(self.part.command):
            return super()._begin(environment, output)
        with open(os.devnull, "rb") as nothing:
            return fork(
                self.part.command,
                folder=ROOT,
                environment=environment,
                stdin=nothing.fileno(),
                stdout=output.fileno(),
                stderr=output.fileno(),
            )


class System:
    """`with System(tmp_path) as system:` everything is up; the end leaves nothing behind.

    Parts are "temporal", "api", "worker" and, with `workers=2`, "worker-2"; the sandbox is `system.sandbox`.
    `relay_url` names another mail server than the sandbox.
    """

    def __init__(
        self,
        data: Path,
        *,
        settings: Mapping[str, str] | None = None,
        sandbox_options: tuple[str, ...] = (),
        workers: int = 1,
        database_url: str = "",
        relay_url: str = "",
    ) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self.sandbox = SandboxProcess(*sandbox_options, ledger=data / "sandbox.db")
        self._settings = dict(settings or {})
        self._database_url = database_url
        self._relay_url = relay_url
        self._workers = workers

    def __enter__(self) -> Self:
        self.sandbox.start()
        wishes = Wishes(
            data=self.data,
            relay_url=self._relay_url or self.sandbox.relay_url,
            database_url=self._database_url,
            settings=self._settings,
        )
        self.house = _with_workers(plan_house(wishes, Ports(usual=False)), self._workers)
        self.supervisor = Supervisor(self.house, process=ForkedProcess)
        self.supervisor.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if hasattr(self, "api"):
            self.api.close()
        self.supervisor.__exit__()
        self.sandbox.__exit__(None, None, None)

    def _start(self) -> None:
        self.api = httpx2.Client(base_url=self.house.api_url, timeout=30)
        self.supervisor.start()
        for name in self.worker_names[1:]:
            self.supervisor.launch(name)

    @property
    def worker_names(self) -> list[str]:
        return [part.name for part in self.house.parts if part.name.startswith("worker")]

    # Parts

    def start(self, name: str) -> None:
        """Start a part again, and wait until it answers (a worker has no door: until its process runs)."""
        self.supervisor.launch(name)
        self.supervisor.wait_for(name)

    def kill(self, name: str) -> None:
        """`kill -9`, and wait until it is dead."""
        self.supervisor.kill(name)

    def stop(self, name: str) -> None:
        """Let it end by itself."""
        self.supervisor.end(name)

    def pid(self, name: str) -> int:
        return self.supervisor.running[name].pid

    def logs(self) -> str:
        """Everything every part has written."""
        return "".join(log.read_text(errors="replace") for log in sorted((self.data / "logs").glob("*.log")))

    def cli(self, *arguments: str) -> str:
        """What the `temporal` command prints. Raises CalledProcessError."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        environment["TEMPORAL_ADDRESS"] = self.house.temporal_address
        done = subprocess.run(
            [temporal_program(), *arguments], env=environment, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise AssertionError(f"temporal {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    # Bulk sends

    def post(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`POST /v1/bulk-sends`; must be taken."""
        answer = self.api.post("/v1/bulk-sends", json=dict(request))
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def view(self, bulk_id: str) -> dict[str, Any]:
        return dict(self.api.get(f"/v1/bulk-sends/{bulk_id}").raise_for_status().json())

    def wait_until_accounted(self, bulk_id: str, timeout: float = 60) -> dict[str, Any]:
        """Wait until every message has reached its end; answers the bulk send as the API shows it then."""
        deadline = time.monotonic() + timeout
        while True:
            view = self.view(bulk_id)
            if sum(view["counts"].get(state, 0) for state in FINAL_STATES) == view["accepted"]:
                return view
            if time.monotonic() > deadline:
                raise AssertionError(f"not accounted for after {timeout} s: {view}\n{self.logs()[-4000:]}")
            time.sleep(0.1)

    def accounting(self, bulk_id: str) -> dict[str, Any]:
        """What the archive itself says: counters, rows, and whether they add up."""
        with ThreadPoolExecutor(1) as thread:  # the test may have a loop of its own
            return thread.submit(asyncio.run, self._accounting(bulk_id)).result()

    async def _accounting(self, bulk_id: str) -> dict[str, Any]:
        archive = Archive(ArchiveConfig(self.house.environment["POSTWERK_DATABASE_URL"]))
        try:
            async with archive.reading() as connection:
                return await reads.accounting(connection, bulk_id)
        finally:
            await archive.close()


def _with_workers(house: House, count: int) -> House:
    worker = house.part("worker")
    assert worker is not None
    more = tuple(replace(worker, name=f"worker-{number}") for number in range(2, count + 1))
    return replace(house, parts=house.parts + more)
