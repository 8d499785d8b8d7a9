"""`postwerk events`: what happened, and what happens."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.dependencies import ApiConfig
from tests.support.api import a_bulk_send
from tests.support.cli import Desk, an_operators_desk
from tests.support.sandbox import eventually


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path, ApiConfig(stream_seconds=0.1)) as desk:
        yield desk


def sent(desk: Desk) -> str:
    answer = desk.api.http.post("/v1/bulk-sends", json=a_bulk_send())
    return str(answer.raise_for_status().json()["id"])


def test_events_are_listed_oldest_first_and_behind_one_another(desk: Desk) -> None:
    ids = [sent(desk) for _ in range(3)]
    first, second = desk.cli.json_lines("events", "--limit", "2")
    (third,) = desk.cli.json_lines("events", "--after", second["id"])
    assert [event["data"]["bulk_send_id"] for event in (first, second, third)] == ids
    told = desk.cli("events", "--bulk-send", ids[1], "--limit", "1")
    assert len(told.stdout.splitlines()) == 1
    assert ids[1] in told.stdout
    assert "bulk_send.accepted" in told.stdout
    more = desk.cli("events", "--limit", "1")
    assert f"--after {first['id']}" in more.stderr


def test_a_type_that_there_is_not_is_refused(desk: Desk) -> None:
    refused = desk.cli("events", "--type", "message.lost", code=4)
    assert "message.bounced" in refused.stderr


def test_follow_shows_what_happens_and_goes_on_after_a_break(desk: Desk) -> None:
    before = sent(desk)
    (last,) = desk.cli.json_lines("events")
    with subprocess.Popen(
        desk.cli.command("events", "--follow", "--after", last["id"], "--json"),
        cwd=desk.folder,
        env=desk.cli.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as watch:
        try:
            ids = [sent(desk) for _ in range(2)]
            seen = [_next(watch), _next(watch)]
            assert eventually(lambda: desk.api.parts.streams.opened > 1)
            ids.append(sent(desk))
            seen.append(_next(watch))
        finally:
            watch.kill()
    assert before not in ids
    assert [event["data"]["bulk_send_id"] for event in seen] == ids


def _next(watch: subprocess.Popen[str]) -> dict[str, Any]:
    assert watch.stdout is not None
    found: dict[str, Any] = json.loads(watch.stdout.readline())
    return found
