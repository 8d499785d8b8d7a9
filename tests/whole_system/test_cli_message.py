"""`postwerk message`, as a process against the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.cli import Desk, an_operators_desk

CONTENT = ("--from", "Shop <orders@shop.example>", "--subject", "Order {{ number }}")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        yield desk


def test_a_message_is_sent_shown_and_listed(desk: Desk) -> None:
    text = desk.file("order.txt", "It is on its way: {{ number }}.\n")
    told = desk.cli(
        "message", "send", "--to", "Ada <ada@example.com>", *CONTENT, "--text", text, "--var", "number=4711"
    ).stdout
    message_id = told.removesuffix(" is queued.\n")
    assert message_id.endswith(".1"), told
    shown = desk.cli("message", "show", message_id).stdout
    for words in ("Ada <ada@example.com>", "queued", "No attempt has been made."):
        assert words in shown
    assert "Order 4711" in desk.cli("message", "show", message_id, "--raw").stdout
    assert [one["id"] for one in desk.cli.json_lines("message", "list")] == [message_id]
    assert "ada@example.com" in desk.cli("message", "list", "--to", "ada@example.com").stdout
    assert desk.cli.json_lines("message", "list", "--state", "bounced") == []
    assert desk.cli.json_lines("bulk", "list") == []
    assert [one["kind"] for one in desk.cli.json_lines("bulk", "list", "--kind", "message")] == ["message"]


def test_every_option_becomes_its_field(desk: Desk) -> None:
    taken = desk.cli.json(
        *("message", "send", "--to", "ada@example.com", *CONTENT, "--text", "-", "--name", "order"),
        *("--reply-to", "help@shop.example", "--header", "X-Order: 1", "--deadline", "2h"),
        *("--var", "number=1", "--retry", "1m,1h", "--notify", "me@shop.example", "--metadata", "order=1"),
        *("--coalesce", "quota-4711", "--window", "30s", "--rank", "90"),
        stdin="You have used 90 %.",
    )
    message = desk.api.http.get(f"/v1/messages/{taken['id']}").json()
    arrived_at = message["coalesced"].pop("arrived_at")
    assert datetime.fromisoformat(arrived_at) <= datetime.now(UTC)
    assert message["coalesced"] == {"key": "quota-4711", "rank": 90, "state": "waiting", "into": None}
    assert message["metadata"] == {"order": "1"}
    send = desk.bulk(taken["bulk_send"])
    assert (send["name"], send["retry"]["waits"]) == ("order", [60, 3600])
    assert send["notify"]["to"][0]["email"] == "me@shop.example"
    mail = desk.cli("message", "show", taken["id"], "--headers").stdout
    assert "X-Order: 1" in mail
    assert "waiting, key quota-4711, rank 90" in desk.cli("message", "show", taken["id"]).stdout


def test_what_cannot_be_taken_is_said_in_one_line(desk: Desk) -> None:
    refused = desk.cli("message", "send", "--to", "nobody", *CONTENT, "--text", "-", stdin="Hello", code=4)
    assert "#/to" in refused.stderr
    wrong = desk.cli(
        "message", "send", "--to", "a@example.com", *CONTENT, "--text", "-", "--rank", "1", stdin="x", code=2
    )
    assert "--coalesce" in wrong.stderr
