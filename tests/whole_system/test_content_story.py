"""Contents as they arrive: files, invitations, images; what a relay finds too big; files that were lost."""

from __future__ import annotations

import base64
import email
import email.policy
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mailing import addresses
from tests.support.system import System

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 400
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
ICS = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
CONNECTIONS = 5
SETTINGS = {"POSTWERK_CONNECTIONS_PER_LANE": str(CONNECTIONS), "POSTWERK_RELAY_PIPELINING": "false"}


def a_file(data: bytes, filename: str, **more: Any) -> dict[str, Any]:
    return {"filename": filename, "content": base64.b64encode(data).decode(), **more}


def a_campaign(to: list[str], **changes: Any) -> dict[str, Any]:
    request = {
        "from": "Shop <news@bücher.example>",
        "subject": "Spring",
        "html": '<h1>Dear {{ who }}</h1><p>See <a href="https://x.example/?a=1&amp;b=2">our offer</a>.</p>',
        "recipients": [{"to": one, "variables": {"who": f"reader {n}"}} for n, one in enumerate(to)],
    }
    return request | changes


def states(system: System, bulk_id: str) -> dict[str, int]:
    return {state: n for state, n in system.wait_until_accounted(bulk_id)["counts"].items() if n}


def reasons(system: System, bulk_id: str) -> set[tuple[str, str]]:
    page = system.api.get(f"/v1/bulk-sends/{bulk_id}/messages?limit=200").json()
    return {(one["state"], one["reason"]) for one in page["data"]}


@pytest.mark.timeout(120)
def test_what_was_given_arrives_and_what_is_too_big_is_tried_once(tmp_path: Path) -> None:
    with System(tmp_path, settings=SETTINGS) as system:
        _everything_arrives(system)
        _too_big_at_the_dot(system)


def _everything_arrives(system: System) -> None:
    put = system.api.put("/v1/attachments", content=PDF).json()
    files = [
        {"filename": "Preisliste für März.pdf", "id": put["id"]},
        a_file(PNG, "logo.png", content_id="logo"),
        a_file(ICS, "invite.ics"),
    ]
    system.api.put("/v1/templates/spring", json={"subject": "Spring", "html": a_campaign([])["html"]})
    changes = {
        "html": '<p>{{ who }}</p><img src="cid:logo">',
        "attachments": files,
        "template": {"id": "spring"},
    }
    taken = system.post(
        a_campaign(["ann@mail.example", "jürgen@mail.example", "ok@xn--bcher-kva.example"], **changes)
    )
    assert states(system, taken["id"]) == {"delivered": 3}
    for stored in system.sandbox.messages():
        mail = email.message_from_bytes(system.sandbox.raw(stored["id"]), policy=email.policy.default)
        assert [defect for part in mail.walk() for defect in part.defects] == []
        found = {part.get_filename(): part.get_payload(decode=True) for part in mail.iter_attachments()}
        assert found == {"Preisliste für März.pdf": PDF, "invite.ics": ICS}
        shown = {part.get_content_type(): part for part in mail.walk()}
        assert shown["image/png"].get_payload(decode=True) == PNG
        assert shown["text/calendar"]["content-type"].params["method"] == "REQUEST"
        assert shown["text/plain"].get_content().startswith("reader ")
        assert str(mail["from"].addresses[0].addr_spec) == "news@xn--bcher-kva.example"
    assert system.view(taken["id"])["template"] == {"id": "spring", "version": 1}


def _too_big_at_the_dot(system: System) -> None:
    """The relay said it once for each connection at most; nobody else was tried."""
    to = addresses(200)
    system.sandbox.set_domain("*", stage="dot", answer="552 5.3.4 Message size exceeds fixed limit")
    bulk_id = system.post(a_campaign(to, recipients_per_child=50))["id"]
    assert states(system, bulk_id) == {"failed": 200}
    assert reasons(system, bulk_id) == {("failed", "message_too_big")}
    assert len(system.sandbox.attempts(stage="dot")) <= 4 * CONNECTIONS
    assert system.view(bulk_id)["reason"].startswith("message_too_big at dot: 552 5.3.4")
    system.sandbox.clear_domain()
    mailbox_full = "552 5.2.2 The mailbox is full"
    system.sandbox.set_domain("full.example", stage="rcpt", answer=mailbox_full)
    other = system.post(a_campaign(["a@full.example", "ok@mail.example"]))["id"]
    assert states(system, other) == {"bounced": 1, "delivered": 1}
    assert reasons(system, other) == {("bounced", "mailbox_full"), ("delivered", "delivered")}


@pytest.mark.timeout(120)
def test_what_the_relay_cannot_carry_or_the_archive_lost_fails_and_says_why(tmp_path: Path) -> None:
    options = ("--max-message-bytes", "50000", "--no-smtputf8")
    with System(tmp_path, settings=SETTINGS, sandbox_options=options) as system:
        _larger_than_size(system)
        _no_smtputf8(system)
        _damaged_file(system)


def _larger_than_size(system: System) -> None:
    bulk_id = system.post(a_campaign(addresses(30), attachments=[a_file(PDF, "a.pdf")]))["id"]
    assert states(system, bulk_id) == {"failed": 30}
    assert reasons(system, bulk_id) == {("failed", "message_too_big")}
    assert system.sandbox.attempts() == [], "it was never asked"
    assert "message_too_big" in system.view(bulk_id)["reason"]
    again = system.api.post(
        "/v1/bulk-sends", json=a_campaign(["a@b.example"], attachments=[a_file(PDF, "a.pdf")])
    )
    assert (again.status_code, again.json()["code"]) == (413, "message_too_big"), "its SIZE is known by now"
    assert "50,000" in again.json()["detail"]


def _no_smtputf8(system: System) -> None:
    """An IDN domain needs none; a local part that is not ASCII does, and ends for its own recipient alone."""
    to = ["jürgen@mail.example", "ann@bücher.example", "bob@mail.example"]
    bulk_id = system.post(a_campaign(to))["id"]
    assert states(system, bulk_id) == {"failed": 1, "delivered": 2}
    page = system.api.get(f"/v1/bulk-sends/{bulk_id}/messages").json()["data"]
    found = {one["to"]: one["reason"] for one in page}
    assert found == {
        "jürgen@mail.example": "smtputf8_not_offered",
        "ann@xn--bcher-kva.example": "delivered",
        "bob@mail.example": "delivered",
    }


def _damaged_file(system: System) -> None:
    request = a_campaign(["ann@mail.example"], attachments=[a_file(b"x" * 500, "a.txt")], open=True)
    bulk_id = system.post(request)["id"]
    taken = len(system.sandbox.messages())
    database = system.house.environment["POSTWERK_DATABASE_URL"].partition("///")[2]
    with sqlite3.connect(database) as connection:
        changed = connection.execute("UPDATE blob SET data = ? WHERE size = 500", (b"y" * 500,))
        assert changed.rowcount == 1
    assert system.api.post(f"/v1/bulk-sends/{bulk_id}/start").status_code == 202
    assert states(system, bulk_id) == {"failed": 1}
    assert reasons(system, bulk_id) == {("failed", "content_missing")}
    assert len(system.sandbox.messages()) == taken
