"""`postwerk bulk`, as a process against the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import a_bulk_send
from tests.support.cli import Desk, an_operators_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        yield desk


def a_send(desk: Desk, **changes: object) -> str:
    answer = desk.api.http.post("/v1/bulk-sends", json=a_bulk_send(**changes))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_bulk_sends_are_listed_the_newest_first(desk: Desk) -> None:
    ids = [a_send(desk, name=f"send {n}") for n in range(3)]
    lines = desk.cli("bulk", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["id", *reversed(ids)]
    assert [one["id"] for one in desk.cli.json_lines("bulk", "list", "--limit", "2")] == ids[:0:-1]
    desk.cli("bulk", "cancel", ids[0], "--yes")
    assert [one["id"] for one in desk.cli.json_lines("bulk", "list", "--state", "cancelling")] == [ids[0]]


def test_more_bulk_sends_than_a_page_are_listed_once_each(desk: Desk) -> None:
    ids = {a_send(desk) for _ in range(205)}
    listed = [one["id"] for one in desk.cli.json_lines("bulk", "list", "--limit", "0")]
    assert (len(listed), set(listed)) == (205, ids)


def test_a_bulk_send_is_shown_in_words(desk: Desk) -> None:
    bulk_id = a_send(desk, name="spring", rate="10/s", retry={"waits": ["1m", "1h"]})
    shown = desk.cli("bulk", "show", bulk_id).stdout
    for words in ("spring", "1: 1 queued", "10/s", "after 1m, 1h", f"bulk-{bulk_id}"):
        assert words in shown


def test_an_open_bulk_send_is_started(desk: Desk) -> None:
    bulk_id = a_send(desk, open=True)
    assert desk.cli("bulk", "start", bulk_id).stdout == f"{bulk_id} is queued.\n"


def test_a_cancel_is_done_once_asked_for(desk: Desk) -> None:
    bulk_id = a_send(desk)
    assert desk.cli("bulk", "cancel", bulk_id, "--yes").stdout == f"{bulk_id} is cancelling.\n"
    assert desk.api.temporal.cancelled == [f"bulk-{bulk_id}"]
