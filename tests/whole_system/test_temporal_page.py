"""docs/temporal.md, and the commands that workflows show of themselves, do what they say."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from postwerk.dev.house import temporal_program
from tests.support.system import System

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "temporal.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ (temporal .*)$", PAGE, re.MULTILINE)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def typed(system: System, command: str, **variables: str) -> str:
    """As a shell runs it, with TEMPORAL_ADDRESS as operators have it."""
    folder = Path(temporal_program()).parent
    environment = {
        **os.environ,
        **variables,
        "TEMPORAL_ADDRESS": system.house.temporal_address,
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
    return done.stdout


def a_waiting_send(system: System, name: str) -> str:
    recipients = [{"to": f"defer+{n}@gmx.net"} for n in range(3)]
    request = {"from": "news@shop.example", "name": name, "subject": "Hello", "text": "Hi"}
    return str(system.post({**request, "retry": "bulk", "recipients": recipients})["id"])


def commands_shown(system: System, workflow_id: str) -> list[str]:
    """What stands in a workflow's details, each with the id before it."""
    shown = typed(system, f"temporal workflow describe -w {workflow_id}")
    block = shown.partition("```")[2].partition("```")[0].replace("\\n", "\n").replace('\\"', '"')
    lines = [line for line in block.splitlines() if line and not line.startswith("#")]
    assert lines[0] == f"ID={workflow_id}"
    return [f"{lines[0]}; {line}" for line in lines[1:]]


def test_each_command_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        schedule = system.api.post(
            "/v1/schedules",
            json={
                "name": "weekly",
                "spec": {"every": "7d"},
                "bulk_send": {
                    "from": "news@shop.example",
                    "subject": "Hello",
                    "text": "Hi",
                    "recipients": [{"to": "ok@gmx.net"}],
                },
            },
        ).json()["id"]
        bulk_id = a_waiting_send(system, "by the page")
        root = f"bulk-{bulk_id}"
        system.cli("workflow", "query", "-w", f"{root}/batch-3", "--type", "progress")
        assert len(COMMANDS) >= 10
        for command in [one for one in COMMANDS if "cancel" not in one] + [
            one for one in reversed(COMMANDS) if "cancel" in one
        ]:
            typed(system, command, BULK=bulk_id, SCHEDULE=schedule)

        root = f"bulk-{a_waiting_send(system, 'by itself')}"
        for workflow_id in (f"{root}/batch-1", root):
            shown = commands_shown(system, workflow_id)
            assert len(shown) >= 2
            for command in sorted(shown, key=lambda one: "cancel" in one):
                typed(system, command)
        view = system.wait_until_accounted(root.removeprefix("bulk-"))
        assert view["counts"]["cancelled"] == 3
