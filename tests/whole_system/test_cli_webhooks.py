"""`postwerk webhooks` as a process against the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.dependencies import ApiConfig
from tests.support.cli import Desk, an_operators_desk
from tests.support.receiver import OK, Receiver, answer


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path, ApiConfig(webhook_allow_private=True)) as desk:
        yield desk


def test_a_webhook_is_added_tried_out_and_removed(desk: Desk) -> None:
    with Receiver(OK, answer(500, "no\x1b[2J")) as receiver:
        added = desk.cli.json("webhooks", "add", receiver.url, "--type", "message.*", "--max-events", "500")
        name = added["id"]
        assert added["secret"].startswith("whsec_")
        row = desk.cli("webhooks", "list").stdout.splitlines()[1].split()
        assert row[:4] == [name, "enabled", receiver.url, "500"]
        assert desk.cli("webhooks", "test", name).stdout.startswith("delivered in ")
        refused = desk.cli("webhooks", "test", name, code=1).stdout
        assert "500 no" in refused
        assert "\x1b" not in refused
    log = desk.cli.json_lines("webhooks", "deliveries", name)
    assert [one["status"] for one in log] == [500, 200]
    rotated = desk.cli.json("webhooks", "rotate", name, "--keep-former-for", "1h")
    assert rotated["secret"] != added["secret"]
    assert "signs until" in desk.cli("webhooks", "show", name).stdout
    assert "disabled by hand" in desk.cli("webhooks", "disable", name).stdout
    assert desk.cli.json("webhooks", "enable", name, "--skip-missed")["state"] == "enabled"
    assert (
        "workflow webhook-" in desk.cli("webhooks", "replay", name, "--since", "2026-01-01T00:00:00Z").stdout
    )
    assert desk.cli("webhooks", "replay", name, code=2).stderr
    assert desk.cli("webhooks", "remove", name, code=2).stderr
    desk.cli("webhooks", "remove", name, "--yes")
    assert desk.api.http.get(f"/v1/webhooks/{name}").status_code == 404
