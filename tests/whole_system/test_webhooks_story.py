"""Webhooks as their users have them: a real send is told of, and nothing of it stands in a history."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.receiver import Receiver
from tests.support.system import System


def test_a_send_is_told_of_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    with System(tmp_path) as system, Receiver() as receiver:
        made = system.api.post(
            "/v1/webhooks", json={"url": f"{receiver.url}?token=hush", "batching": {"max_events": 100}}
        )
        hook = made.json()
        assert made.status_code == 201, made.text
        recipients = [{"to": "ok+1@example.com", "metadata": {"crm": "42"}}, {"to": "bounce+2@example.com"}]
        send = {"from": "news@shop.example", "subject": "Hello", "text": "Hi", "recipients": recipients}
        bulk_id = system.post(send)["id"]
        _until_told(receiver, "bulk_send.completed")
        history = system.cli("workflow", "show", "-w", hook["workflow_id"], "-o", "json")
        described = system.cli("workflow", "describe", "-w", hook["workflow_id"], "-o", "json")
        logs = system.logs()

    for got in receiver.got:
        assert got.verified(hook["secret"]) == got.document
        assert got.path == "/hook?token=hush"
    events = receiver.events
    types = [event["type"] for event in events if event["data"].get("bulk_send_id") == bulk_id]
    assert types[0] == "bulk_send.accepted"
    assert types[-1] == "bulk_send.completed"
    told = sorted(one for one in types if one.startswith("message."))
    assert told == ["message.bounced", "message.delivered"]
    (delivered,) = (event["data"] for event in events if event["type"] == "message.delivered")
    assert (delivered["to"], delivered["metadata"]) == ("ok+1@example.com", {"crm": "42"})
    assert delivered["reply"]["code"] == 250
    assert len({event["id"] for event in events}) == len(events)
    for secret in ("example.com", "hush", "whsec_", str(receiver.port)):
        assert secret not in history + described
        assert secret not in logs or secret == str(receiver.port)


def _until_told(receiver: Receiver, type: str) -> None:
    deadline = time.monotonic() + 60
    while type not in [event["type"] for event in receiver.events]:
        assert time.monotonic() < deadline, [event["type"] for event in receiver.events]
        time.sleep(0.02)
