"""docs/webhooks.md: its table is the schedule, and its example works."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from standardwebhooks import WebhookVerificationError

from postwerk.archive.webhooks import new_secret
from postwerk.contracts.webhooks import TEST_TYPE
from postwerk.rules.durations import parse_duration
from postwerk.rules.webhook_schedule import WAITS
from postwerk.webhooks.batches import single_body
from postwerk.webhooks.signing import signed_headers

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text()


def test_the_table_of_tries_is_the_schedule() -> None:
    rows = re.findall(r"^\| (\d+) \| (at once|\d+ \w+) \|$", PAGE, re.M)
    assert [int(number) for number, _ in rows] == list(range(1, len(WAITS) + 1))
    assert [_wait(words) for _, words in rows] == list(WAITS)


def _wait(words: str) -> timedelta:
    if words == "at once":
        return timedelta(0)
    number, unit = words.split(" ")
    return parse_duration(f"{number}{unit[0]}")


def test_the_example_in_python_verifies_and_passes_over_what_it_knows() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    room: dict[str, Any] = {}
    exec(example, room)
    take, secret, now = room["take"], new_secret(), datetime.now(UTC)
    event = {"id": "evt_1", "type": "message.delivered", "timestamp": "2026-11-22T12:00:00Z", "data": {}}
    one = orjson.dumps(event)
    both = orjson.dumps({"type": "events", "data": {"events": [event, event | {"id": "evt_2"}]}})
    test = single_body(TEST_TYPE, now, {})
    assert take(one, signed_headers("evt_1", one, [secret], now), secret) == [event]
    assert take(both, signed_headers("batch_1", both, [secret], now), secret) == [event | {"id": "evt_2"}]
    assert take(test, signed_headers("msg_1", test, [secret], now), secret)[0]["type"] == TEST_TYPE
    with pytest.raises(WebhookVerificationError):
        take(one + b" ", signed_headers("evt_1", one, [secret], now), secret)
    with pytest.raises(WebhookVerificationError):
        take(one, signed_headers("evt_1", one, [new_secret()], now), secret)
    old = now - timedelta(minutes=6)
    with pytest.raises(WebhookVerificationError):
        take(one, signed_headers("evt_1", one, [secret], old), secret)
