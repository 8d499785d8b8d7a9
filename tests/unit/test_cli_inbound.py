"""`postwerk inbound list` and `show`: mails that came back, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.cli import Cli
from tests.support.scripted_api import ScriptedApi

MAIL: dict[str, Any] = {
    "object": "inbound",
    "id": "inb_01",
    "received_at": "2026-11-22T10:00:00Z",
    "via": "lmtp",
    "mail_from": "",
    "rcpt_to": "b-x@bounce.example",
    "size": 1200,
    "state": "done",
    "kind": "bounce",
    "message": "bulk_01.7",
    "detail": "bounced late: user_unknown",
    "tries": 1,
    "found": {
        "reported": [
            {
                "recipient": "gone@example.com",
                "original": "",
                "action": "failed",
                "status": "5.1.1",
                "diagnostic": "550 5.1.1 no such\u001b[31m user",
                "remote_mta": "",
            }
        ],
        "reporting_mta": "mx.example.net",
        "auto_submitted": True,
        "feedback": "",
        "message_id": "",
        "how": "dsn",
    },
    "processed_at": "2026-11-22T10:00:01Z",
    "links": {},
}
ANSWERS = {
    "GET /v1/inbound": [(200, {"object": "list", "has_more": False, "next": None, "data": [MAIL]})],
    "GET /v1/inbound/inb_01": [(200, MAIL)],
}


def test_what_came_back_is_listed_and_shown(tmp_path: Path) -> None:
    with ScriptedApi(ANSWERS) as api:
        cli = Cli(api.url, tmp_path)
        listed = cli("inbound", "list", "--kind", "bounce", "--state", "done").stdout
        shown = cli("inbound", "show", "inb_01").stdout
        as_json = json.loads(cli("inbound", "show", "inb_01", "--json").stdout)
    assert "bulk_01.7" in listed
    assert "bounced late: user_unknown" in listed
    assert "kind=bounce" in api.asked[0][0]
    assert "state=done" in api.asked[0][0]
    assert "mx.example.net" in shown
    assert "failed 5.1.1 550 5.1.1 no such" in shown
    assert "\x1b" not in shown
    assert as_json == MAIL


def test_the_listener_says_which_setting_is_missing(tmp_path: Path) -> None:
    ended = Cli("http://127.0.0.1:1", tmp_path)("inbound", code=2, POSTWERK_BOUNCE_DOMAIN="")
    assert "POSTWERK_BOUNCE_DOMAIN is not set" in ended.stderr
