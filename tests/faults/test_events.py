"""Who reads the stream, and comes again when it breaks off, sees every event once, whatever is killed."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.faults.mailing import a_mailing, a_seed, addresses, wait_for_mails
from tests.faults.test_crash import SETTINGS
from tests.support.sandbox import eventually
from tests.support.system import System


class Reader(threading.Thread):
    """Reads the stream from the beginning on; opens it again behind the last id whenever it breaks off."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.events: list[dict[str, Any]] = []
        self.opened = 0
        self.trouble: list[str] = []
        self._url = url
        self._last_id = "evt_" + "0" * 26
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.is_set():
            try:
                self._read()
            except httpx2.TransportError as error:
                self.trouble.append(type(error).__name__)
            self._done.wait(0.1)

    def _read(self) -> None:
        headers = {"Last-Event-ID": self._last_id}
        with httpx2.stream("GET", f"{self._url}/v1/events/stream", headers=headers, timeout=20) as answer:
            answer.raise_for_status()
            self.opened += 1
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                if "data" in fields:
                    self.events.append(json.loads(fields["data"]))
                self._last_id = fields.get("id", self._last_id)
                fields = {}
                if self._done.is_set():
                    return

    def end(self) -> None:
        self._done.set()


def final_states(events: list[dict[str, Any]]) -> dict[str, str]:
    """By message, as the events tell it."""
    states: dict[str, str] = {}
    for event in events:
        about, _, state = event["type"].partition(".")
        if about == "message" and state != "deferred":
            assert event["data"]["message_id"] not in states, "it ended twice"
            states[event["data"]["message_id"]] = state
    return states


def all_of(system: System, path: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = system.api.get(path, params={**query, "limit": 1000}).raise_for_status().json()
        found += page["data"]
        if not page["has_more"]:
            return found
        query["after"] = page["next"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_reader_sees_each_event_once_across_kills_of_api_and_worker(tmp_path: Path) -> None:
    chance = a_seed()
    to = [*addresses(2000), *addresses(100, "bounce"), *addresses(100, "defer2")]
    with System(tmp_path, settings=SETTINGS, sandbox_options=("--ack-delay", "0.02")) as system:
        reader = Reader(system.house.api_url)
        reader.start()
        bulk_id = system.post(a_mailing(to))["id"]
        for number, part in enumerate(["api", "worker", "api", "worker", "api"]):
            wait_for_mails(system, number * 380 + chance.randrange(100, 380))
            system.kill(part)
            system.start(part)
        system.wait_until_accounted(bulk_id, timeout=240)
        eventually(lambda: system.view(bulk_id)["state"] == "completed", 60)
        kept = all_of(system, "/v1/events")
        eventually(lambda: len(reader.events) >= len(kept), 30)
        messages = all_of(system, f"/v1/bulk-sends/{bulk_id}/messages")
        began = time.monotonic()
        system.stop("api")
        took = time.monotonic() - began
        reader.end()
        reader.join(30)

    ids = [event["id"] for event in reader.events]
    assert [ids, reader.opened >= 4] == [[event["id"] for event in kept], True]
    assert len(set(ids)) == len(ids)
    assert final_states(reader.events) == {message["id"]: message["state"] for message in messages}
    assert Counter(message["state"] for message in messages) == {"delivered": 2100, "bounced": 100}
    repeated = [event["data"]["repeated"] for event in reader.events if event["type"] == "message.deferred"]
    assert Counter(repeated)[True] >= 100
    told = [event["type"] for event in reader.events if event["type"].startswith("bulk_send.")]
    assert told == ["bulk_send.accepted", "bulk_send.started", "bulk_send.completed"]
    assert took < 8, "the stream kept the API from ending: it was killed after ten seconds"
