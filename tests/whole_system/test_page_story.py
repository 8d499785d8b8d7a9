"""The page beside a send that really runs: its figures, its stream, and an API that is stopped under it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx2
import orjson
import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.support.api import a_bulk_send
from tests.support.system import System

pytestmark = pytest.mark.slow
MESSAGES = 300
PATIENCE_SECONDS = 90


def _delivered(html: str, bulk_id: str) -> int:
    found = LexborHTMLParser(html).css_first(f"#send-{bulk_id} [data-share=delivered]")
    return -1 if found is None else int(found.text().replace(",", ""))


def _follow(api_url: str, bulk_id: str, seen: list[int], ended: threading.Event) -> None:
    """Note what the stream says of the send, until the server ends it."""
    with httpx2.Client(base_url=api_url, timeout=60) as http, http.stream("GET", "/live") as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                parts = orjson.loads(line.removeprefix("data:"))
                if "part-sends" in parts:
                    seen.append(_delivered(parts["part-sends"], bulk_id))
    ended.set()


def test_a_send_is_watched_to_its_end_and_the_stream_stops_with_the_process(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        recipients = [{"to": f"u{n}@example.com"} for n in range(MESSAGES)]
        with httpx2.Client(base_url=system.house.api_url, timeout=30) as http:
            made = http.post("/v1/bulk-sends", json=a_bulk_send(recipients=recipients, rate="60/s"))
            assert made.status_code == 202, made.text
            bulk_id = made.json()["id"]
            seen: list[int] = []
            ended = threading.Event()
            reader = threading.Thread(target=_follow, args=(system.house.api_url, bulk_id, seen, ended))
            reader.start()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while MESSAGES not in seen and time.monotonic() < deadline:
                time.sleep(0.1)
            told = http.get(f"/v1/bulk-sends/{bulk_id}").json()["counts"]["delivered"]
            shown = _delivered(http.get("/").text, bulk_id)
        assert (told, shown) == (MESSAGES, MESSAGES)
        assert seen == sorted(seen), "delivered messages only ever grow"
        assert len(set(seen)) > 2, f"the stream told nothing in between: {seen}"
        system.stop("api")
        assert ended.wait(10), "the stream kept the process from ending"
        reader.join()
