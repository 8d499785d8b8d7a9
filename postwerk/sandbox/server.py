"""One sandbox process: its doors, one ledger, and a clean end."""

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
from postwerk.sandbox.pop3 import Pop3Server
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
        _listening_if_asked(config.host, config.pop3_port) as pop3,
        _ledger_path(config) as path,
    ):
        async with _doors(config, path, smtp, http, pop3):
            ready(_ready_line(smtp, http, pop3))
            await _until_told_to_stop()


def _ready_line(smtp: socket.socket, http: socket.socket, pop3: socket.socket | None) -> str:
    mail, web = written_address(smtp.getsockname()), written_address(http.getsockname())
    fetching = f" pop3={written_address(pop3.getsockname())}" if pop3 else ""
    return f"sandbox ready smtp={mail} http=http://{web}{fetching}"


@asynccontextmanager
async def _doors(
    config: SandboxConfig, path: Path, smtp: socket.socket, http: socket.socket, pop3: socket.socket | None
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
        async with Pop3Server(inbox, ledger).listening(pop3) if pop3 else nullcontext():
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
def _listening_if_asked(host: str, port: int | None) -> Iterator[socket.socket | None]:
    if port is None:
        yield None
        return
    with _listening(host, port) as door:
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
