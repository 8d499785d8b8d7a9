"""Signed mail with a way out and bounce addresses of its own, over real processes and a real SMTP server."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postwerk.archive.engine import Archive, ArchiveConfig
from postwerk.archive.token_secrets import load_tokens
from postwerk.mime.dkim_keys import new_key
from postwerk.rules.tokens import TokenOf
from tests.support.dkim import verified
from tests.support.sandbox import eventually
from tests.support.system import System

KEYS = [new_key("shop.example", "e1", "ed25519"), new_key("shop.example", "r1", "rsa")]
LINK = re.compile(rb"List-Unsubscribe: <(http://[^>]+)>\r\n")


def settings(folder: Path) -> dict[str, str]:
    for key, pem in KEYS:
        path = folder / "keys" / key.domain / f"{key.selector}.pem"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(pem)
    return {"POSTWERK_DKIM_KEYS": str(folder / "keys"), "POSTWERK_BOUNCE_DOMAIN": "bounce.shop.example"}


def a_request(to: list[str], **fields: Any) -> dict[str, Any]:
    return {
        "from": "Shop <news@mail.shop.example>",
        "subject": "Grüße, {{ to }}",
        "text": "Dear {{ to }},\n.\n  spring  is here.  \n\n{{ unsubscribe_url }}\n\n\n",
        "html": "<p>Dear {{ to }},</p>\n<p><a href='{{ unsubscribe_url }}'>no more</a></p>\n",
        "recipients": [{"to": one} for one in to],
        "list_unsubscribe": {"one_click": True, "mailto": "out@shop.example"},
        **fields,
    }


def counts(system: System, bulk_id: str) -> dict[str, int]:
    """Once every message has reached its end."""
    return {state: n for state, n in system.wait_until_accounted(bulk_id)["counts"].items() if n}


def batch_of(system: System, bulk_id: str) -> str:
    """As Temporal shows it; nothing before it begins."""
    try:
        return system.cli("workflow", "describe", "-w", f"bulk-{bulk_id}/batch-1")
    except AssertionError:
        return ""


async def tokens_of(system: System) -> Any:
    archive = Archive(ArchiveConfig(system.house.environment["POSTWERK_DATABASE_URL"]))
    try:
        return await load_tokens(archive, datetime.now(UTC))
    finally:
        await archive.close()


@pytest.mark.timeout(110)
async def test_every_mail_is_signed_and_comes_back_to_its_own_address(tmp_path: Path) -> None:
    to = [f"ok+{n}@small.example" for n in range(40)]
    with System(tmp_path, settings=settings(tmp_path)) as system:
        answer = system.post(a_request(to))
        assert [one["code"] for one in answer["warnings"]] == ["unsubscribe_not_https"]
        own = system.post(a_request(["ok+own@small.example"], return_path="me@shop.example", dkim=False))
        one_key = system.post(a_request(["ok+key@small.example"], dkim={"selector": "e1"}))
        bulk_id = answer["id"]
        for one in (answer, own, one_key):
            assert counts(system, one["id"]) == {"delivered": one["accepted"]}
        tokens, today = await tokens_of(system), datetime.now(UTC).date()
        found = system.sandbox.messages()
        assert len(found) == 42
        senders = set()
        for mail in found:
            raw = system.sandbox.raw(mail["id"])
            if "+own@" in mail["rcpt_to"]:
                assert mail["mail_from"] == "me@shop.example"
                assert b"DKIM-Signature" not in raw
                continue
            keys = [key for key, _ in KEYS][: 1 if "+key@" in mail["rcpt_to"] else 2]
            assert verified(raw, keys) == [True] * len(keys)
            local, _, domain = mail["mail_from"].partition("@")
            assert domain == "bounce.shop.example"
            message = tokens.read_bounce(local, today)
            assert message is not None
            senders.add(message)
            link = LINK.search(raw.replace(b",\r\n <mailto:out@shop.example>", b""))
            assert link is not None
            assert tokens.read_unsubscribe(link[1].decode().rpartition("/")[2]) == message
            shown = system.api.get(f"/v1/messages/{message.bulk_id}.{message.seq}/content")
            assert shown.content == raw
        assert {one for one in senders if one.bulk_id == bulk_id} == {
            TokenOf(bulk_id, n + 1) for n in range(40)
        }
        assert "/u/" not in system.logs()


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_mail_waits_for_the_key_that_it_names(tmp_path: Path) -> None:
    with System(tmp_path, settings=settings(tmp_path)) as system:
        answer = system.post(a_request(["ok@small.example"], dkim={"selector": "late"}))
        assert [one["code"] for one in answer["warnings"]] == ["unknown_selector", "unsubscribe_not_https"]
        eventually(lambda: "there is no DKIM key late" in batch_of(system, answer["id"]), 30)
        assert system.sandbox.messages() == []
        key, pem = new_key("shop.example", "late", "ed25519")
        path = tmp_path / "keys" / "shop.example" / "late.pem"
        path.touch(0o600)
        path.write_bytes(pem)
        assert counts(system, answer["id"]) == {"delivered": 1}
        (mail,) = system.sandbox.messages()
        assert verified(system.sandbox.raw(mail["id"]), [key]) == [True]
        assert len(system.api.get(f"/v1/messages/{answer['id']}.1").json()["attempts"]) == 1


@pytest.mark.timeout(115)
def test_who_unsubscribes_gets_nothing_more_of_sends_under_way(tmp_path: Path) -> None:
    to = [f"ok+{n}@small.example" for n in range(80)]
    with System(tmp_path) as system:
        sends = [system.post(a_request(to, rate="4/s", recipients_per_child=80))["id"] for _ in range(2)]
        eventually(lambda: len(system.sandbox.messages()) >= 4, 30)
        mailed = {mail["rcpt_to"] for mail in system.sandbox.messages()}
        by_link, by_list = [one for one in to if one not in mailed][-20:-10], to[-10:]
        for address in by_link:
            seq = to.index(address) + 1
            raw = system.api.get(f"/v1/messages/{sends[0]}.{seq}/content").content
            link = LINK.search(raw.replace(b",\r\n <mailto:out@shop.example>", b""))
            assert link is not None
            path = link[1].decode().partition("/u/")[2]
            assert system.api.post(f"/u/{path}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
        listed = system.api.post("/v1/suppressions", json={"addresses": by_list, "reason": "unsubscribe"})
        assert listed.json()["added"] == 10
        for bulk_id in sends:
            assert system.view(bulk_id)["counts"]["suppressed"] == 10  # by the link at once, in both
        for bulk_id in sends:
            assert counts(system, bulk_id) == {"delivered": 60, "suppressed": 20}
        mailed = {mail["rcpt_to"] for mail in system.sandbox.messages()}
        assert mailed == set(to) - set(by_link) - set(by_list)
