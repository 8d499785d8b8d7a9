"""All of it at once, as `make dev` runs it: mails go out, some come back, and everything still adds up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from postwerk.dev.house import Wishes, plan_house
from postwerk.dev.ports import Ports
from postwerk.dev.supervisor import Supervisor


def until(found: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.timeout(180)
def test_mails_come_back_after_their_250_and_their_messages_bounce_late(tmp_path: Path) -> None:
    house = plan_house(Wishes(data=tmp_path), Ports(usual=False))
    to = [f"ok+{n}@shop.example" for n in range(10)] + [f"latebounce+{n}@shop.example" for n in range(3)]
    with Supervisor(house) as supervisor, httpx2.Client(base_url=house.api_url, timeout=30) as api:
        supervisor.start()
        body = {
            "from": "Shop <news@shop.example>",
            "subject": "Hello",
            "text": "spring is here.\n",
            "recipients": [{"to": one} for one in to],
        }
        bulk_id = api.post("/v1/bulk-sends", json=body).raise_for_status().json()["id"]
        send = f"/v1/bulk-sends/{bulk_id}"
        until(lambda: api.get(send).json()["late_bounces"] == 3)

        until(lambda: api.get(send).json()["state"] == "completed")
        view = api.get(send).json()
        assert (view["counts"]["delivered"], view["counts"]["bounced"], view["accepted"]) == (10, 3, 13)
        bounced = api.get(f"{send}/messages", params={"state": "bounced"}).json()["data"]
        assert [one["late"] for one in bounced] == [True] * 3
        assert {one["to"] for one in bounced} == {f"latebounce+{n}@shop.example" for n in range(3)}
        listed = api.get("/v1/suppressions", params={"source": "dsn"}).json()["data"]
        assert len(listed) == 3
        mails = api.get("/v1/inbound").json()["data"]
        assert {(one["state"], one["kind"], one["via"]) for one in mails} == {("done", "bounce", "lmtp")}
        assert {one["message"] for one in mails} == {one["id"] for one in bounced}

        told = cli(house.api_url, "inbound", "list", "--kind", "bounce")
        assert told.count("bounced late: user_unknown") == 3
        assert "550 5.1.1 No such user" in cli(house.api_url, "inbound", "show", mails[0]["id"])
        logs = "".join(log.read_text() for log in (tmp_path / "logs").glob("*.log"))
        assert "shop.example" not in logs


def cli(url: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "postwerk", *arguments]
    environment = {**os.environ, "POSTWERK_API_URL": url, "COLUMNS": "400"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
