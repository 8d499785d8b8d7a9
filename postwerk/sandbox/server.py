"""One sandbox process: two doors, one ledger, and a clean end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import uvicorn

from postwerk.errors import ConfigurationError
from postwerk.sandbox.config import SandboxConfig
from postwerk.sandbox.inbox_reader import InboxReader
from postwerk.sandbox.ledger import Ledger
from postwerk.sandbox.reader import Reader
from postwerk.sandbox.sandbox import Sandbox
from postwerk.sandbox.session import Session
from postwerk.sandbox.web.app import web_app
from postwerk.sandbox.web.asgi import App
from postwerk.sandbox.wire import written_address

_BACKLOG = 2048
_LONGEST_GOODBYE_SECONDS = 2


async def serve(config: SandboxConfig, ready: Callable[[str], None]) -> None:
    """Run a sandbox until SIGTERM or SIGINT; `ready` is called with the line that names its doors."""
    with (
        _listening(config.host, config.smtp_port) as smtp,
        _listening(config.host, config.http_port) as http,
        _ledger_path(config) as path,
    ):
        async with _both_doors(config, path, smtp, http):
            ready(
                f"sandbox ready smtp={written_address(smtp.getsockname())} http=http://{written_address(http.getsockname())}"
            )
            await _until_told_to_stop()


@asynccontextmanager
async def _both_doors(
    config: SandboxConfig, path: Path, smtp: socket.socket, http: socket.socket
) -> AsyncIterator[None]:
    try:
        ledger, reader, inbox = Ledger(path), Reader(path), InboxReader(path)
    except sqlite3.Error as error:
        raise ConfigurationError(f"cannot keep the ledger in {path}: {error}") from error
    sandbox = Sandbox(config, ledger)
    mail_door = await asyncio.get_running_loop().create_server(lambda: Session(sandbox), sock=smtp)
    web_door = _WebServer(_web_config(web_app(sandbox, reader, inbox)))
    web = asyncio.create_task(web_door.serve(sockets=[http]))
    try:
        yield
    finally:
        mail_door.close()
        # Who waits for a 250 gets it: the message is ours, and without the reply it would be sent again.
        await ledger.flush()
        sandbox.late_bounces.close()
        ledger.news.close()
        sandbox.say_goodbye()
        web_door.should_exit = True
        await asyncio.wait([web], timeout=_LONGEST_GOODBYE_SECONDS)
        await ledger.close()
        await reader.close()
        await inbox.close()


def _web_config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none"
    )


class _WebServer(uvicorn.Server):
    """Uvicorn without its own signal handlers: the mail door has to close as well."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        door = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"
        ) from error
    with door:
        door.setblocking(False)
        yield door


@contextmanager
def _ledger_path(config: SandboxConfig) -> Iterator[Path]:
    if config.ledger is not None:
        yield config.ledger
        return
    with tempfile.TemporaryDirectory(prefix="postwerk-sandbox-") as folder:
        yield Path(folder) / "ledger.sqlite"


async def _until_told_to_stop() -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
