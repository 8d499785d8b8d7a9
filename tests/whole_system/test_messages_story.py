"""Transactional messages as their sender and an operator see them: real processes, the temporal command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.mailing import wait_until
from tests.support.messages import a_message
from tests.support.system import System
from tests.whole_system.test_privacy import _temporal_files

CANARIES = ("quetzal.pomegranate", "narwhal-lighthouse", "kumquat tidings", "marzipan avalanche", "fig-4711")


def send(system: System, to: str, **changes: Any) -> dict[str, Any]:
    request = a_message(to, subject="kumquat tidings", text="marzipan avalanche", **changes)
    answer = system.api.post("/v1/messages", json=request)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def state_of(system: System, message_id: str) -> str:
    return str(system.api.get(f"/v1/messages/{message_id}").raise_for_status().json()["state"])


def wait_for(system: System, taken: dict[str, Any], state: str) -> None:
    wait_until(lambda: state_of(system, taken["id"]) == state, state, patience=60)


@pytest.mark.timeout(150)
def test_messages_are_steered_by_the_temporal_command_and_leave_no_trace_there(tmp_path: Path) -> None:
    to = "{}+quetzal.pomegranate@narwhal-lighthouse.example"
    with System(tmp_path) as system:
        waits = {"initial": "1h", "jitter": 0}
        held, gone = (send(system, to.format("defer"), retry=waits) for _ in range(2))
        folded, sent = (
            send(system, to.format("ok"), coalesce={"key": "fig-4711", "rank": rank, "window": "2s"})
            for rank in (70, 90)
        )
        for one in (held, gone):
            wait_for(system, one, "deferred")
        system.cli("workflow", "signal", "-w", held["workflow_id"], "--name", "hold")
        wait_until(lambda: system.view(held["bulk_send"])["state"] == "paused", "paused")
        assert "paused" in system.cli("workflow", "query", "-w", held["workflow_id"], "--type", "progress")
        system.cli("workflow", "signal", "-w", held["workflow_id"], "--name", "release")
        wait_until(lambda: system.view(held["bulk_send"])["state"] == "running", "running")
        system.cli("workflow", "cancel", "-w", held["workflow_id"])
        wait_for(system, held, "cancelled")
        system.cli("workflow", "terminate", "-w", gone["workflow_id"])
        wait_for(system, sent, "delivered")
        wait_for(system, folded, "suppressed")
        wait_for(system, gone, "cancelled")  # by the reconciler
        listed = system.cli("workflow", "list", "-o", "json")
        assert {'"Message"', '"Coalesce"'} <= set(listed.replace(",", "").split())
        shown = [
            system.cli("workflow", "show", "-w", one["workflow_id"], "-o", "json")
            for one in (held, gone, sent)
        ]
        left = [listed.encode(), *(text.encode() for text in shown), *_temporal_files(tmp_path).values()]
        left += [log.read_bytes() for log in (tmp_path / "logs").glob("*.log")]
    assert [canary for canary in CANARIES if any(canary.encode() in text for text in left)] == []
