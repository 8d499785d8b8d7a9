"""`python -m postwerk api` as a process: it does not listen to the world without a key; nor does uvicorn."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.migrate import migrate
from postwerk.dev.process import ROOT
from tests.support.keys import a_key

POSTWERK = (sys.executable, "-m", "postwerk")
UVICORN = (sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--log-level", "warning")


def _own_address() -> str:
    """An address of this machine that is not its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no other address than its loopback")
        return str(probe.getsockname()[0])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def archive_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/archive.db"


def _environment(url: str, **settings: str) -> dict[str, str]:
    ours = ("POSTWERK_", "TEMPORAL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"POSTWERK_DATABASE_URL": url, "TEMPORAL_ADDRESS": "127.0.0.1:1"} | settings


def _run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*POSTWERK, *arguments], cwd=ROOT, env=_environment(url), capture_output=True, text=True, timeout=60
    )


async def _with_archive(url: str, *scopes: str) -> str:
    """Migrated; answers a key if scopes are named."""
    archive = Archive(ArchiveConfig(url))
    try:
        await migrate(archive)
        return (await a_key(archive, *scopes)).text if scopes else ""
    finally:
        await archive.close()


@contextmanager
def _running(
    command: tuple[str, ...], url: str, *, answers_at: str, uds: str | None = None, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(url, **settings))
    try:
        deadline = time.monotonic() + 60
        while uds and not _listens(uds):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        transport = httpx2.HTTPTransport(uds=uds) if uds else None
        with httpx2.Client(transport=transport) as http:
            while True:
                try:
                    assert http.get(f"{answers_at}/healthz").status_code == 200
                    break
                except httpx2.TransportError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def test_without_a_key_it_does_not_listen_to_the_world(archive_url: str) -> None:
    asyncio.run(_with_archive(archive_url))
    for host in ("0.0.0.0", "::", _own_address()):
        done = _run(archive_url, "api", "--host", host, "--port", "0")
        assert done.returncode == 2
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert "postwerk keys create NAME --scope admin" in line
        assert host in line


def test_an_archive_without_tables_is_told_and_not_taken_for_one_without_keys(archive_url: str) -> None:
    done = _run(archive_url, "api", "--host", "0.0.0.0", "--port", "0")

    assert done.returncode == 2
    assert re.search(r"python -m postwerk migrate$", done.stderr.strip())
    assert len(done.stderr.splitlines()) == 1


def test_with_a_key_it_listens_and_asks_for_it(archive_url: str) -> None:
    key = asyncio.run(_with_archive(archive_url, "read"))
    port, address = _free_port(), _own_address()
    command = (*POSTWERK, "api", "--host", "0.0.0.0", "--port", str(port), "--no-access-log")
    with _running(command, archive_url, answers_at=f"http://127.0.0.1:{port}") as process:
        for host in ("127.0.0.1", address):
            with httpx2.Client(base_url=f"http://{host}:{port}") as http:
                assert http.get("/v1/bulk-sends").status_code == 401
                bearer = {"authorization": f"Bearer {key}"}
                assert http.get("/v1/bulk-sends", headers=bearer).status_code == 200
                assert http.get("/docs").status_code == (200 if host == "127.0.0.1" else 404)
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_a_server_started_in_another_way_is_not_open_either(archive_url: str) -> None:
    asyncio.run(_with_archive(archive_url))
    port, address = _free_port(), _own_address()
    command = (*UVICORN, "--host", "0.0.0.0", "--port", str(port), "--forwarded-allow-ips", "*")
    with _running(command, archive_url, answers_at=f"http://127.0.0.1:{port}"):
        with httpx2.Client(base_url=f"http://{address}:{port}") as http:
            for headers in ({}, {"x-forwarded-for": "127.0.0.1"}, {"host": "127.0.0.1"}):
                answer = http.get("/v1/bulk-sends", headers=headers)
                assert answer.status_code == 401, answer.text
                assert "postwerk keys create" in answer.json()["detail"]
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as http:
            assert http.get("/v1/bulk-sends").status_code == 200
            assert http.get("/v1/bulk-sends", headers={"x-forwarded-for": "192.0.2.1"}).status_code == 401


def test_a_unix_socket_is_this_machine(archive_url: str, tmp_path: Path) -> None:
    asyncio.run(_with_archive(archive_url))
    path = str(tmp_path / "api.sock")
    command, url = (*POSTWERK, "api", "--uds", path), "http://localhost"
    with (
        _running(command, archive_url, answers_at=url, uds=path),
        httpx2.Client(transport=httpx2.HTTPTransport(uds=path), base_url=url) as http,
    ):
        assert http.get("/v1/bulk-sends").status_code == 200
        made = http.post("/v1/api-keys", json={"name": "ops", "scopes": ["admin"]})
        assert made.status_code == 201
        assert http.get("/v1/bulk-sends").status_code == 401


def test_a_key_made_beside_a_running_api_counts_within_a_second(archive_url: str) -> None:
    asyncio.run(_with_archive(archive_url))
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = (*POSTWERK, "api", "--port", str(port))
    with _running(command, archive_url, answers_at=url), httpx2.Client(base_url=url) as http:
        assert http.get("/v1/bulk-sends").status_code == 200
        made = _run(archive_url, "keys", "create", "ops", "--scope", "admin")
        bearer = {"authorization": f"Bearer {made.stdout.strip()}"}
        assert http.get("/v1/bulk-sends", headers=bearer).status_code == 200
        _until_refused(http, {})
        _run(archive_url, "keys", "revoke", "ops")
        _until_refused(http, bearer)
        assert http.get("/v1/bulk-sends").status_code == 401  # a revoked key does not open the door again


def _until_refused(http: httpx2.Client, headers: dict[str, str]) -> None:
    deadline = time.monotonic() + 1.5
    while http.get("/v1/bulk-sends", headers=headers).status_code == 200:
        assert time.monotonic() < deadline
