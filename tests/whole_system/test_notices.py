"""The sender is told, over real processes: notices travel like any other mail and arrive in the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest

from tests.support.notices import parsed
from tests.support.sandbox import eventually
from tests.support.system import System

STARTED_WITHIN_SECONDS = 40
"""The reconciler looks every 15 seconds; the rest is room for a busy machine."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("notices")) as started:
        yield started


def a_mailing(domain: str, notify: dict[str, Any]) -> dict[str, Any]:
    kinds = ("ok", "ok", "bounce", "bounce", "reject-after-dot")
    return {
        "name": "spring",
        "from": "Shop <news@shop.example>",
        "subject": "Grüße, {{ who }}",
        "text": "Dear {{ who }}",
        "recipients": [
            {"to": f"{kind}+{n}@{domain}", "variables": {"who": f"reader {n}"}}
            for n, kind in enumerate(kinds)
        ],
        "notify": notify,
    }


def arrived(system: System, address: str, count: int) -> list[tuple[dict[str, Any], EmailMessage]]:
    def look() -> list[dict[str, Any]]:
        found = system.sandbox.messages(to=address)
        return found if len(found) >= count else []

    found = eventually(look, STARTED_WITHIN_SECONDS)
    assert len(found) == count
    return [(one, parsed(system.sandbox.raw(one["id"]))) for one in found]


def notices_about(system: System, bulk_id: str) -> list[dict[str, Any]]:
    listed = (
        system.api.get("/v1/bulk-sends", params={"limit": 200, "kind": "notice"})
        .raise_for_status()
        .json()["data"]
    )
    return [one for one in listed if one["notice_of"] == bulk_id]


@pytest.mark.timeout(120)
def test_a_digest_arrives_once_and_a_notification_for_each_failure(system: System) -> None:
    digest = system.post(a_mailing("digest.example", {"to": "Boss <ok+digest@boss.example>"}))
    each = system.post(a_mailing("each.example", {"to": ["ok+each@boss.example"], "mode": "each"}))

    [(row, mail)] = arrived(system, "ok+digest@boss.example", 1)
    assert row["mail_from"] == "news@shop.example"
    assert mail["Subject"] == "spring: completed, 3 of 5 failed"
    _, attached = mail.iter_parts()
    assert attached.get_filename() == f"failed-{digest['id']}.csv"
    listed = attached.get_payload(decode=True).decode()
    assert listed.count("@digest.example") == 3
    [notice] = notices_about(system, digest["id"])
    content = system.api.get(f"/v1/messages/{notice['id']}.1/content").raise_for_status().content
    assert content == system.sandbox.raw(row["id"])
    assert notice["notify"] is None

    found = arrived(system, "ok+each@boss.example", 3)
    assert {row["mail_from"] for row, _ in found} == {""}
    assert {mail.get_content_type() for _, mail in found} == {"multipart/report"}
    told = {_final_recipient(mail) for _, mail in found}
    assert told == {f"rfc822; {kind}@each.example" for kind in ("bounce+2", "bounce+3", "reject-after-dot+4")}
    assert {mail["References"] for _, mail in found} == {
        f"<{each['id']}.{seq}@shop.example>" for seq in (3, 4, 5)
    }


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_notice_that_bounces_is_not_told_of(system: System) -> None:
    # Refused without going on the suppression list: each notice is tried.
    sent = system.post(
        a_mailing("lost.example", {"to": "reject-after-dot+boss@boss.example", "mode": "each"})
    )
    ended = eventually(
        lambda: (
            found
            if len(found := notices_about(system, sent["id"])) == 3
            and all(one["state"] == "completed" for one in found)
            else None
        ),
        STARTED_WITHIN_SECONDS,
    )
    assert [one["counts"]["bounced"] for one in ended] == [1, 1, 1]
    assert all(notices_about(system, one["id"]) == [] for one in ended)


def _final_recipient(mail: EmailMessage) -> str:
    _, status, _ = mail.iter_parts()
    return str(status.get_payload()[1]["Final-Recipient"])
