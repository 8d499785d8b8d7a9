"""Start the sandbox as a process of its own, ask it what it has seen, and talk raw SMTP to it.

The questions are plain calls, also inside `async with`: the sandbox is another process and answers at once.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

ROOT = Path(__file__).resolve().parents[2]
_LONGEST_START_SECONDS = 20
_LONGEST_STOP_SECONDS = 10

T = TypeVar("T")


class SandboxProcess:
    """`with SandboxProcess("--ack-delay", "0.3") as sandbox:` or the same with `async with`."""

    def __init__(
        self, *options: str, ledger: Path | None = None, smtp_port: int = 0, http_port: int = 0
    ) -> None:
        kept = ["--ledger", str(ledger)] if ledger else []
        self._command = [sys.executable, "-m", "postwerk.sandbox", *kept, *options]
        self.host = "127.0.0.1"
        self.smtp_port = smtp_port
        self.http_port = http_port
        self.http_url = ""
        self.pop3_port = 0

    @property
    def relay_url(self) -> str:
        return f"smtp://{self.host}:{self.smtp_port}"

    def start(self) -> Self:
        """Start it and wait until both doors are open; started again it has the same ports and ledger."""
        ports = ["--smtp-port", str(self.smtp_port), "--http-port", str(self.http_port)]
        self.process = subprocess.Popen([*self._command, *ports], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        words = dict(word.split("=", 1) for word in self._ready_line().split() if "=" in word)
        self.smtp_port = int(words["smtp"].rpartition(":")[2])
        self.pop3_port = int(words.get("pop3", ":0").rpartition(":")[2])
        self.http_url = words["http"]
        self.http_port = int(self.http_url.rpartition(":")[2])
        self._http = httpx2.Client(base_url=self.http_url, timeout=30)
        return self

    def stop(self) -> int:
        """Tell it to end, wait until it has, and return its exit code."""
        self.process.terminate()
        return self._await_end()

    def kill(self) -> int:
        """`kill -9`."""
        self.process.kill()
        return self._await_end()

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self._json("/api/counts")
        return counts

    def messages(self, to: str | None = None) -> list[dict[str, Any]]:
        """Every row of the ledger, oldest first."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 1000, "after": 0} | ({"to": to} if to else {})
        while query["after"] is not None:
            page = self._json("/api/messages", query)
            found += page["messages"]
            query["after"] = page["next"]
        return found

    def raw(self, number: int) -> bytes:
        return self.get(f"/api/messages/{number}/raw").content

    def recipients(self) -> Iterator[dict[str, Any]]:
        """Each address that was tried, as the judge of a crash test wants it."""
        with self._http.stream("GET", "/api/recipients") as lines:
            yield from (json.loads(line) for line in lines.iter_lines())

    def recipient(self, address: str) -> dict[str, Any] | None:
        answer = self._http.get(f"/api/recipients/{address}")
        return None if answer.status_code == 404 else dict(answer.raise_for_status().json())

    def clear(self) -> None:
        self._http.delete("/api/messages").raise_for_status()

    def set_domain(self, domain: str, **rule: Any) -> dict[str, Any]:
        """Give a domain (`*`: every one) a bad day: `set_domain("yahoo.com", preset="yahoo-tss04")`."""
        answer = self._http.put(f"/api/domains/{domain}", json=rule)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def clear_domain(self, domain: str | None = None) -> None:
        """Take the rule of one domain back, or those of all."""
        path = f"/api/domains/{domain}" if domain else "/api/domains"
        self._http.delete(path).raise_for_status()

    def domains(self) -> dict[str, dict[str, Any]]:
        """The rules that hold, and how often each was `met`."""
        rules: dict[str, dict[str, Any]] = self._json("/api/domains")
        return rules

    def attempts(
        self, domain: str | None = None, since: float = 0, *, stage: str | None = None
    ) -> list[dict[str, Any]]:
        """Each attempt since then (seconds since 1970), oldest first: `at`, `verdict`, `code` and more."""
        found: list[dict[str, Any]] = self._json("/api/attempts", _query(domain, since, stage=stage))
        return found

    def attempts_per(self, period: str, domain: str | None = None, since: float = 0) -> list[dict[str, Any]]:
        """The count of each `second` or `minute` by domain, verdict and code."""
        found: list[dict[str, Any]] = self._json("/api/attempts", _query(domain, since, per=period))
        return found

    def connections(self, since: float = 0) -> list[dict[str, Any]]:
        """When each connection came, and the code of its greeting (0: silence)."""
        found: list[dict[str, Any]] = self._json("/api/connections", {"since": since})
        return found

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self._http.get(path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self._http.request(method, path, **options)

    def talk(self) -> Talk:
        return Talk(self.host, self.smtp_port)

    def _json(self, path: str, query: dict[str, Any] | None = None) -> Any:
        return self._http.get(path, params=query).raise_for_status().json()

    def _ready_line(self) -> str:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], _LONGEST_START_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        if not line.startswith("sandbox ready"):
            self.kill()
            raise RuntimeError(f"the sandbox did not start: {line!r}")
        return line

    def _await_end(self) -> int:
        if hasattr(self, "_http"):
            self._http.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.wait(_LONGEST_STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, None)


class Talk:
    """A raw SMTP client: it sends what it is told, however wrong."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=10)
        self._lines = self.socket.makefile("rb")

    def reply(self) -> str:
        """The next reply, its lines joined; empty when the connection is closed."""
        lines = [self._lines.readline().decode()]
        while lines[-1][3:4] == "-":
            lines.append(self._lines.readline().decode())
        return "".join(lines).strip()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def say(self, line: str) -> str:
        """Send one line and return the reply."""
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def greet(self) -> Self:
        """Read the banner and say EHLO."""
        assert self.reply().startswith("220")
        assert self.say("EHLO test").startswith("250")
        return self

    def offer(self, *recipients: str) -> list[str]:
        """MAIL and one RCPT each; the replies to the RCPTs."""
        assert self.say("MAIL FROM:<sender@example.com>").startswith("250")
        return [self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def begin_data(self, *recipients: str) -> None:
        """Everything up to 354."""
        assert all(reply.startswith("250") for reply in self.offer(*recipients))
        assert self.say("DATA").startswith("354")

    def submit(self, recipient: str, message: bytes = b"Subject: hello\r\n\r\nbody\r\n") -> str:
        """One whole transaction; the reply that ended it."""
        (answer,) = self.offer(recipient)
        if not answer.startswith("250"):
            assert self.say("RSET").startswith("250")
            return answer
        if not (answer := self.say("DATA")).startswith("354"):
            return answer
        self.send(message + b".\r\n")
        return self.reply()

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self.greet()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()


def _query(domain: str | None, since: float, **others: str | None) -> dict[str, Any]:
    given = {"domain": domain, "since": since, **others}
    return {name: value for name, value in given.items() if value is not None}


def eventually(look: Callable[[], T], seconds: float = 10) -> T:
    """Look until what is seen is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)
    return seen
