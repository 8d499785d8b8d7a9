"""What the real processes tell: metrics of each on a port of its own, and every log line as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from postwerk.archive.engine import Archive
from postwerk.dev.ports import Ports
from tests.support.metrics import value
from tests.support.system import System

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 100.0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def scrape(port: int) -> str:
    """Empty while nobody listens."""
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    except httpx2.TransportError:
        return ""


def free_ports(count: int) -> list[int]:
    """Next to each other, as the processes of one worker take them."""
    ports = Ports(usual=False)
    first = ports.any()
    return [first + number for number in range(count)]


def test_a_send_is_seen_in_the_metrics_of_worker_sdk_and_api_and_in_the_log(tmp_path: Path) -> None:
    own, sdk = free_ports(2)
    settings = {
        "POSTWERK_WORKER_METRICS_PORT": str(own),
        "POSTWERK_TEMPORAL_METRICS_ADDRESS": f"127.0.0.1:{sdk}",
        "POSTWERK_LOG_LEVEL": "INFO",
    }
    recipients = [{"to": f"ada{n}@gmail.com"} for n in range(20)] + [{"to": "bounce@rare.example"}]
    with System(tmp_path, settings=settings) as system:
        order = {"from": "news@shop.example", "subject": "s", "text": "t", "recipients": recipients}
        system.wait_until_accounted(system.post(order)["id"])
        until(lambda: value(scrape(own), "postwerk_delivered_total", provider="gmail.com") == 20)
        told = scrape(own)
        until(lambda: "temporal_activity_execution_latency_seconds_count" in scrape(sdk))
        api = system.api.get("/metrics").text

    assert value(told, "postwerk_permanent_failures_total", provider="other") == 1
    assert value(told, "postwerk_time_to_delivery_seconds_count", provider="gmail.com") == 20
    assert value(told, "postwerk_journal_commit_seconds_count") >= 1
    assert value(api, "postwerk_workers") == 1
    assert (
        value(api, "postwerk_http_requests_total", method="POST", route="/v1/bulk-sends", status="202") >= 1
    )
    for text in (told, api):
        assert [word for word in ("ada", "rare.example", "shop.example", "bulk_01") if word in text] == []

    lines = [json.loads(line) for line in (tmp_path / "logs" / "worker.log").read_text().splitlines()]
    finished = [line for line in lines if line["event"] == "batch finished"]
    assert finished
    assert {line["activity"] for line in finished} == {"send_batch"}
    assert all(line["workflow"].startswith(f"bulk-{line['bulk']}") for line in finished)
    assert "@" not in (tmp_path / "logs" / "worker.log").read_text()


def test_each_of_several_processes_takes_the_next_port(archive: Archive, tmp_path: Path) -> None:
    ports = free_ports(2)
    environment = os.environ | {
        "POSTWERK_DATABASE_URL": archive.config.url,
        "POSTWERK_RELAY_URL": "smtp://127.0.0.1:1",
        "POSTWERK_WORKER_METRICS_PORT": str(ports[0]),
        "TEMPORAL_ADDRESS": "127.0.0.1:1",  # it waits for Temporal, and tells metrics meanwhile
    }
    with (tmp_path / "worker.log").open("w") as log:
        command = [sys.executable, "-m", "worker", "--processes", "2"]
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: all("postwerk_batches_in_hand" in scrape(port) for port in ports))
            until(lambda: "temporal cannot be reached" in (tmp_path / "worker.log").read_text())
        finally:
            worker.terminate()
            assert worker.wait(PATIENCE_SECONDS) == 0
    for line in (tmp_path / "worker.log").read_text().splitlines():
        assert json.loads(line)["timestamp"]


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("POSTWERK_TEMPORAL_METRICS_ADDRESS", "9465", "must be host:port"),
        ("POSTWERK_TRACES", "jaeger", "POSTWERK_TRACES"),
        ("POSTWERK_WORKER_METRICS_HOST", "203.0.113.1", "203.0.113.1:9464"),
    ],
)
def test_a_worker_whose_metrics_cannot_be_served_says_so_and_ends(
    archive: Archive, name: str, wrong: str, words: str
) -> None:
    environment = os.environ | {
        "POSTWERK_DATABASE_URL": archive.config.url,
        "POSTWERK_RELAY_URL": "smtp://127.0.0.1:1",
        "POSTWERK_WORKER_METRICS_PORT": "9464" if name.endswith("HOST") else "0",
        name: wrong,
    }
    done = subprocess.run(
        [sys.executable, "-m", "worker"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
