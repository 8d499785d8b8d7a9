"""A mail server that does exactly what a script says, in a process of its own: also what no server should.

A script is {"connections": [{stage: action or [action, ...]}, ...], "tls": ..., "certificate": [cert, key]}.
The last connection serves all later ones; the last action of a list all later occurrences of its stage.
Stages: open (before the banner), banner, ehlo, starttls, handshake, auth, mail, rcpt, data, body, dot, rset,
noop, quit, and "line" for what AUTH LOGIN sends. Actions:

- "250 ok": this reply; CRLF is added unless the text ends in a newline, or in "~", which is cut off
- "hang", "close", "reset", "deaf" (says nothing, goes on reading)
- {"wait": s, "say": text or [text, ...], "drip": s, "pause": s, "then": "hang" | "close" | "reset"}
- body only: {"after": bytes, ...} acts in the middle of the message, {"chunk": bytes, "wait": s} reads slowly

All that arrives is written to the log, a JSON line each, before anything is answered.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postwerk.contracts.smtp import Exchange
    from postwerk.smtp import RelayConfig, StageLimits

EHLO = "250-scripted.example\r\n250-SIZE 0\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME"
POLITE = {
    "banner": "220 scripted.example ESMTP",
    "ehlo": EHLO,
    "starttls": "220 2.0.0 ready",
    "auth": "235 2.7.0 welcome",
    "line": "235 2.7.0 welcome",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go ahead",
    "dot": "250 2.0.0 queued",
    "rset": "250 2.0.0 reset",
    "noop": "250 2.0.0 ok",
    "quit": {"say": "221 2.0.0 bye", "then": "close"},
}


class Over(Exception):
    """This connection is over."""


class Connection:
    """Plays the script on one accepted socket."""

    def __init__(self, server: Server, sock: socket.socket, number: int, script: dict[str, Any]) -> None:
        self.server, self.sock, self.number, self.script = server, sock, number, script
        self.seen: dict[str, int] = {}
        self.unread = b""

    def play(self) -> None:
        self.server.log(self.number, "open")
        try:
            if self.server.tls == "implicit":
                self.handshake()
            self.act("open")
            self.act("banner")
            while True:
                self.command(self.line())
        except (Over, OSError) as end:
            self.server.log(self.number, "end", repr(end).encode())
        finally:
            self.sock.close()

    def command(self, line: bytes) -> None:
        self.server.log(self.number, "line", line)
        verb = line.split(b" ")[0].strip().lower().decode("latin-1")
        stage = verb if verb in POLITE else "line"
        if stage == "data" and self.answers("data").startswith("354"):
            self.act("data")
            self.server.log(self.number, "message", self.message())
            self.act("dot")
        elif stage == "starttls" and self.answers("starttls").startswith("220"):
            self.act("starttls")
            self.handshake()
        else:
            self.act(stage)

    def handshake(self) -> None:
        self.act("handshake")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server.certificate)
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.server.log(self.number, "tls")

    # Reading

    def line(self) -> bytes:
        while b"\n" not in self.unread:
            self.receive(65536)
        line, _, self.unread = self.unread.partition(b"\n")
        return line + b"\n"

    def message(self) -> bytes:
        """The raw bytes up to the dot, read as the script's body action wants it."""
        action = self.action("body")
        action = action if isinstance(action, dict) else {"after": 0, "then": action} if action else {}
        chunk = action.get("chunk", 65536)
        end = b"\r\n.\r\n"
        acted = "after" not in action
        while True:
            if not acted and len(self.unread) >= action["after"]:
                acted = True
                self.perform(action)
            if self.unread.startswith(end[2:]) or end in self.unread:
                break
            self.receive(chunk)
            if "chunk" in action:
                time.sleep(action["wait"])
        whole, _, self.unread = (b"\r\n" + self.unread).partition(end)
        return whole[2:] + end

    def receive(self, size: int) -> None:
        data = self.sock.recv(size)
        if not data:
            raise Over("the client closed")
        self.server.log(self.number, "bytes", data if len(data) < 10_000 else b"%d bytes" % len(data))
        self.unread += data

    # Acting

    def action(self, stage: str) -> Any:
        given = self.script.get(stage, POLITE.get(stage))
        return given[min(self.seen.get(stage, 0), len(given) - 1)] if isinstance(given, list) else given

    def answers(self, stage: str) -> str:
        action = self.action(stage)
        said = action.get("say", "") if isinstance(action, dict) else action
        return "".join(said) if isinstance(said, list) else said

    def act(self, stage: str) -> None:
        action = self.action(stage)
        self.seen[stage] = self.seen.get(stage, 0) + 1
        if action is None or action == "deaf":
            return
        if isinstance(action, dict):
            self.perform(action)
        elif action in ("hang", "close", "reset"):
            self.end(action)
        else:
            self.say(action)

    def perform(self, action: dict[str, Any]) -> None:
        time.sleep(action.get("wait", 0))
        said = action.get("say", [])
        for text in said if isinstance(said, list) else [said]:
            self.say(text, drip=action.get("drip", 0))
            time.sleep(action.get("pause", 0))
        if "then" in action:
            self.end(action["then"])

    def say(self, text: str, drip: float = 0) -> None:
        data = (text if text.endswith(("\n", "\r", "~")) else text + "\r\n").rstrip("~").encode("latin-1")
        for piece in [data] if not drip else [data[i : i + 1] for i in range(len(data))]:
            self.sock.sendall(piece)
            time.sleep(drip)

    def end(self, how: str) -> None:
        if how == "hang":
            self.server.stopping.wait()
        if how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Over(how)


class Server:
    """Listens on 127.0.0.1, a thread for each connection."""

    def __init__(self, script: dict[str, Any], log: Path) -> None:
        self.connections = script.get("connections") or [{}]
        self.tls = script.get("tls", "")
        self.certificate = script.get("certificate", [])
        self.stopping = threading.Event()
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if "receive_buffer" in script:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, script["receive_buffer"])
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1000)

    def log(self, connection: int, what: str, raw: bytes = b"") -> None:
        entry = {"connection": connection, "what": what, "raw": raw.decode("latin-1"), "at": time.time()}
        os.write(self._log, json.dumps(entry).encode() + b"\n")

    def serve(self) -> None:
        number = 0
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script = self.connections[min(number, len(self.connections) - 1)]
            connection = Connection(self, sock, number, script)
            threading.Thread(target=connection.play, daemon=True).start()
            number += 1


class ScriptedServer:
    """Starts such a server on a free port, reads its log, and stops it."""

    def __init__(self, folder: Path, *connections: dict[str, Any], **script: Any) -> None:
        self._log = folder / "scripted_server.log"
        self._log.unlink(missing_ok=True)
        script["connections"] = list(connections)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.scripted_server", str(self._log), json.dumps(script)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def entries(self, what: str) -> list[dict[str, Any]]:
        """What the log holds of one kind: open, line, message, bytes, tls, end."""
        lines = self._log.read_bytes().split(b"\n")[:-1]
        return [entry for line in lines if (entry := json.loads(line))["what"] == what]

    @property
    def lines(self) -> list[str]:
        """The commands that arrived, in order, without their line ends."""
        return [entry["raw"].rstrip("\r\n") for entry in self.entries("line")]

    @property
    def verbs(self) -> list[str]:
        return [line.split(" ")[0] for line in self.lines]

    @property
    def messages(self) -> list[bytes]:
        """The raw messages that arrived whole, with their dots."""
        return [entry["raw"].encode("latin-1") for entry in self.entries("message")]

    @property
    def accepted(self) -> int:
        return len(self.entries("open"))

    @property
    def raw(self) -> str:
        """All bytes that arrived."""
        return "".join(entry["raw"] for entry in self.entries("bytes"))

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def relay_url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def relay(self, **settings: Any) -> RelayConfig:
        """How to reach it; `limits` in seconds, by stage."""
        from postwerk.smtp import RelayConfig  # here, for the server's own process has no use for it

        limits = quick_limits(**settings.pop("limits", {}))
        host, port = settings.pop("host", "127.0.0.1"), self.port
        return RelayConfig(
            **{"host": host, "port": port, "ehlo_name": "client.example", "limits": limits} | settings
        )

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


LETTER = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: Hello\r\n\r\nHello\r\n"


async def send_one(
    relay: RelayConfig,
    message: bytes = LETTER,
    *,
    sender: str = "news@example.org",
    recipient: str = "anna@example.net",
    ours: bool = True,
) -> Exchange:
    """What one message over a new connection comes to."""
    from postwerk.contracts.smtp import Exchange
    from postwerk.smtp import open_conversation

    async def before_data() -> bool:
        return ours

    opened = await open_conversation(relay)
    if isinstance(opened, Exchange):
        return opened
    try:
        return await opened.send(sender, recipient, message, before_data)
    finally:
        await opened.quit()


def quick_limits(**seconds: float) -> StageLimits:
    """What a test says, and enough for a busy machine where it waits for nothing."""
    from postwerk.smtp import StageLimits

    stages = ("connect", "banner", "ehlo", "tls", "auth", "mail", "rcpt", "data", "block", "dot", "quit")
    given = dict.fromkeys(stages, 5.0) | {"opening": 10.0, "quit": 0.3} | seconds
    slowest = int(given.pop("slowest_upload", 1024))
    limits: dict[str, Any] = {stage: timedelta(seconds=value) for stage, value in given.items()}
    return StageLimits(slowest_upload=slowest, **limits)


def make_certificates(folder: Path) -> dict[str, tuple[str, str]]:
    """Certificate and key for "localhost", for another host, and by nobody's authority; the CA is ca.pem."""
    import trustme

    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = {
        "good": authority.issue_cert("localhost", "127.0.0.1"),
        "wrong host": authority.issue_cert("elsewhere.example"),
        "unknown authority": stranger.issue_cert("localhost", "127.0.0.1"),
        "expired": authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC)),
    }
    made = {}
    for name, certificate in issued.items():
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(str(key))
        made[name] = (str(chain), str(key))
    return made


def main() -> None:
    log, script = sys.argv[1:]
    server = Server(json.loads(script), Path(log))
    print(server.listener.getsockname()[1], flush=True)
    server.serve()


if __name__ == "__main__":
    main()
