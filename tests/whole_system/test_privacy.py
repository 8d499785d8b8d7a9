"""What is personal stays in the archive: no sign of it in Temporal, a log, a metric or a trace (P7)."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from postwerk.dev.ports import Ports
from tests.support.collector import collecting
from tests.support.system import System

LOCAL_PART, DOMAIN = "quetzal.pomegranate", "narwhal-lighthouse.example"
CANARIES = {
    "local part": LOCAL_PART,
    "domain": DOMAIN,
    "name": "Zephyrine Okonkwo",
    "subject": "kumquat tidings",
    "text": "marzipan avalanche",
    "html": "persimmon thunder",
    "variable": "saffron-42-walrus",
    "header": "gooseberry.campaign",
    "metadata": "tamarind.ledger",
}
PLAIN = ("ok", "defer", "bounce")


class EchoingServer(socketserver.StreamRequestHandler):
    """A mail server that says the recipient's address, its parts and the subject back in all it refuses."""

    deferred: set[str] = set()  # noqa: RUF012  one server a test process

    def handle(self) -> None:
        self.to, self.subject = "", ""
        self.say("220 echo.example ESMTP")
        while line := self.rfile.readline().decode().strip():
            self.answer(line)

    def answer(self, line: str) -> None:
        verb = line.split(":")[0].split(" ")[0].upper()
        if verb == "EHLO":
            self.say("250-echo.example\r\n250 8BITMIME")
        elif verb == "RCPT":
            self.to = line.partition("<")[2].partition(">")[0]
            self.recipient()
        elif verb == "DATA":
            self.say("354 go ahead")
            self.message()
        else:
            self.say("221 bye" if verb == "QUIT" else "250 ok")

    def recipient(self) -> None:
        local_part, _, domain = self.to.partition("@")
        echo = f"<{self.to}> said {local_part.upper()} at {domain}: {self.to}"
        if local_part.startswith("bounce"):
            self.say(f"550 5.1.1 {echo} is not known\r\n")
        elif local_part.startswith("defer") and self.to not in self.deferred:
            self.deferred.add(self.to)
            self.say(f"451-4.7.1 {echo}\r\n451 4.7.1 come back, mailbox={local_part} host=mx.{domain}")
        else:
            self.say("250 ok")

    def message(self) -> None:
        while (line := self.rfile.readline().decode()) != ".\r\n":
            if line.startswith("Subject:"):
                self.subject = line.partition(":")[2].strip()
        if self.to.startswith("spam") and self.subject not in self.deferred:
            self.deferred.add(self.subject)
            self.say(f"451 4.7.1 the message '{self.subject}' looks like spam, refused for now")
        else:
            self.say(f"250 2.0.0 taken for {self.to}")

    def say(self, text: str) -> None:
        self.wfile.write(text.strip().encode() + b"\r\n")


@contextmanager
def echoing_relay() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), EchoingServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.timeout(100)
@pytest.mark.parametrize("recipients_per_child", [pytest.param(1, marks=pytest.mark.slow), 10])
def test_no_trace_of_a_recipient_or_a_content_is_in_temporal_or_in_a_log(
    tmp_path: Path, recipients_per_child: int
) -> None:
    haystacks = _what_a_send_leaves_behind(tmp_path, PLAIN, recipients_per_child)
    # The search finds what is there: our id, and a reply as it may be shown.
    assert b"bulk-bulk_" in haystacks["temporal.db"] + haystacks.get("temporal.db-wal", b"")
    assert any(b"last reply: 451" in text for name, text in haystacks.items() if name.startswith("show "))
    assert b"worker started" in haystacks["worker.log"]
    assert b"postwerk_delivered_total" in haystacks["metrics of the worker"]
    assert b"postwerk_http_requests_total" in haystacks["metrics of the API"]
    assert b"temporal_activity_execution_latency" in haystacks["metrics of the SDK"]
    for span in (b"POST /v1/bulk-sends", b"RunWorkflow:Delivery", b"RunActivity:send_batch", b"smtp trans"):
        assert span in haystacks["traces"]
    assert _found(haystacks) == []


@pytest.mark.timeout(100)
def test_a_reply_that_quotes_the_message_leaves_no_trace_of_it(tmp_path: Path) -> None:
    assert _found(_what_a_send_leaves_behind(tmp_path, (*PLAIN, "spam"), 1)) == []


def _what_a_send_leaves_behind(
    tmp_path: Path, kinds: Sequence[str], recipients_per_child: int
) -> dict[str, bytes]:
    """All that Temporal, logs, metrics and traces hold after a send to one address of each kind."""
    EchoingServer.deferred.clear()
    own, sdk = _free_ports()
    with collecting() as collector, echoing_relay() as relay:
        settings = collector.settings(ratio=1.0) | {
            "POSTWERK_WORKER_METRICS_PORT": str(own),
            "POSTWERK_TEMPORAL_METRICS_ADDRESS": f"127.0.0.1:{sdk}",
        }
        with System(tmp_path, relay_url=relay, settings=settings) as system:
            told = _what_is_seen_of_a_send(system, kinds, recipients_per_child) | _temporal_files(tmp_path)
            told["metrics of the API"] = system.api.get("/metrics").content
            told["metrics of the worker"] = httpx2.get(f"http://127.0.0.1:{own}/metrics").content
            told["metrics of the SDK"] = httpx2.get(f"http://127.0.0.1:{sdk}/metrics").content
        told["traces"] = collector.everything
    return told | {path.name: path.read_bytes() for path in (tmp_path / "logs").glob("*.log")}


def _free_ports() -> tuple[int, int]:
    ports = Ports(usual=False)
    return ports.any(), ports.any()


def _what_is_seen_of_a_send(
    system: System, kinds: Sequence[str], recipients_per_child: int
) -> dict[str, bytes]:
    """What the `temporal` command shows of its workflows, once each of them has ended."""
    answer = system.post(_a_personal_mailing(kinds, recipients_per_child))
    view = system.wait_until_accounted(answer["id"])
    assert (view["counts"]["delivered"], view["counts"]["bounced"]) == (len(kinds) - 1, 1)
    root = answer["workflow_id"]
    batches = len(kinds) if recipients_per_child == 1 else 1
    told = {"workflow list": system.cli("workflow", "list", "-o", "json")}
    for workflow in (root, *(f"{root}/batch-{number}" for number in range(1, batches + 1))):
        # Asking for the result waits for the end, so that every event is there.
        system.cli("workflow", "result", "-w", workflow)
        told[f"show {workflow}"] = system.cli("workflow", "show", "-w", workflow, "-o", "json")
        told[f"describe {workflow}"] = system.cli("workflow", "describe", "-w", workflow, "-o", "json")
        told[f"text of {workflow}"] = system.cli("workflow", "show", "-w", workflow)
    return {name: text.encode() for name, text in told.items()}


def _a_personal_mailing(kinds: Sequence[str], recipients_per_child: int) -> dict[str, Any]:
    recipients = [
        {
            "to": {"email": f"{kind}-{LOCAL_PART}@{DOMAIN}", "name": CANARIES["name"]},
            "variables": {"secret": CANARIES["variable"]},
            "metadata": {"note": CANARIES["metadata"]},
        }
        for kind in kinds
    ]
    return {
        "from": "news@shop.example",
        "name": f"to {LOCAL_PART}@{DOMAIN}",
        "subject": f"{CANARIES['subject']} {{{{ secret }}}}",
        "text": f"{CANARIES['text']} {{{{ secret }}}}",
        "html": f"<p>{CANARIES['html']} {{{{ secret }}}}</p>",
        "headers": {"X-Campaign": CANARIES["header"]},
        "metadata": {"note": CANARIES["metadata"]},
        "recipients": recipients,
        "recipients_per_child": recipients_per_child,
        "notify": {"to": f"boss-{LOCAL_PART}@{DOMAIN}", "on": ["failure", "completion"], "mode": "each"},
        "retry": {"initial": 2, "maximum": 2},
    }


def _temporal_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("temporal.db*")}


def _found(haystacks: dict[str, bytes]) -> list[str]:
    """Where a canary was found, with the words around it."""
    return [
        f"{what} in {name}: {text[max(0, at - 100) : at + 60]!r}"
        for name, text in haystacks.items()
        for what, canary in CANARIES.items()
        for form in _forms(canary)
        if (at := text.lower().find(form.lower())) >= 0
    ]


def _forms(canary: str) -> set[bytes]:
    """As it is, with header blanks, and inside base64 at each of its three positions."""
    plain = canary.encode()
    inside = {base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)}
    return {plain, plain.replace(b" ", b"_"), *inside}
