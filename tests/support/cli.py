"""The command line as a process of its own, against the API on a real port."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import uvicorn
from temporalio.client import Client

from api.app import create_app
from api.dependencies import ApiConfig, Parts
from postwerk.archive.engine import Archive
from tests.support.api import RecordingTemporal
from tests.support.databases import open_archive

ROOT = Path(__file__).resolve().parents[2]
USER = "ada@desk"


@dataclass(frozen=True, slots=True)
class Cli:
    """`cli("queue", "list")` runs it and answers the finished process."""

    url: str
    folder: Path

    def __call__(
        self, *arguments: str, stdin: bytes | str = b"", code: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Must end with `code` (None: any) and without a traceback; output is read as UTF-8."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            input=data,
            capture_output=True,
            timeout=60,
        )
        text = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        assert "Traceback" not in text.stderr, text.stderr
        assert code is None or done.returncode == code, (done.returncode, text.stdout, text.stderr)
        return text

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "postwerk", *arguments]

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTWERK_")}
        ours = {"POSTWERK_API_URL": self.url, "POSTWERK_USER": USER, "PYTHONPATH": str(ROOT)}
        return kept | ours | changes

    def json(self, *arguments: str, **more: Any) -> Any:
        """Its one JSON document."""
        return json.loads(self(*arguments, "--json", **more).stdout)

    def json_lines(self, *arguments: str, **more: Any) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*arguments, "--json", **more).stdout.splitlines()]


@dataclass(slots=True)
class ServedApi:
    """The API on a port of this machine; Temporal is a stand-in that remembers what it was asked."""

    url: str
    http: httpx2.Client
    temporal: RecordingTemporal
    loop: asyncio.AbstractEventLoop
    parts: Parts
    thread: threading.Thread
    server: uvicorn.Server

    def stop(self) -> None:
        """As its process does when it is told to."""
        self.loop.call_soon_threadsafe(self.parts.streams.stop)
        self.server.should_exit = True

    @property
    def archive(self) -> Archive:
        return self.parts.archive

    def do(self, work: Any) -> Any:
        """Await `work` in the API's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """None: it runs beside the tests."""


@contextmanager
def served_api(folder: Path, config: ApiConfig | None = None) -> Iterator[ServedApi]:
    """The API in a thread, over an empty SQLite archive."""
    up = threading.Event()
    found: list[ServedApi] = []

    async def serve() -> None:
        async with open_archive(f"sqlite+aiosqlite:///{folder}/archive.db") as archive:
            temporal = RecordingTemporal()
            parts = Parts(archive, cast(Client, temporal), config or ApiConfig())
            server = _Server(uvicorn.Config(create_app(parts), port=0, log_level="warning", ws="none"))
            running = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            http = httpx2.Client(base_url=url, timeout=30)
            loop = asyncio.get_running_loop()
            found.append(ServedApi(url, http, temporal, loop, parts, thread, server))
            up.set()
            await running
            await parts.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert up.wait(30), "the API does not come up"
    try:
        yield found[0]
    finally:
        found[0].http.close()
        if thread.is_alive():
            found[0].stop()
        thread.join(30)


@dataclass(frozen=True, slots=True)
class Desk:
    """An operator's place: the command line, the API behind it, and a folder for files."""

    cli: Cli
    api: ServedApi
    folder: Path

    def file(self, name: str, content: str | bytes) -> str:
        """The path of a new file."""
        data = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(data)
        return name

    def bulk(self, bulk_id: str) -> dict[str, Any]:
        return dict(self.api.http.get(f"/v1/bulk-sends/{bulk_id}").raise_for_status().json())

    def addresses(self, bulk_id: str) -> list[str]:
        """To whom it goes, the first 1,000."""
        found = self.api.http.get(f"/v1/bulk-sends/{bulk_id}/messages", params={"limit": 1000})
        return [one["to"] for one in found.raise_for_status().json()["data"]]


@contextmanager
def an_operators_desk(folder: Path, config: ApiConfig | None = None) -> Iterator[Desk]:
    with served_api(folder, config) as api:
        yield Desk(Cli(api.url, folder), api, folder)
