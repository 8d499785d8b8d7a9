"""The end of an example: everything is taken back, and nothing may be left behind."""

from __future__ import annotations

import json
import time

from tests.support.playground import DOMAINS, Playground
from tests.support.queue_model import FINAL, Send

DRAINED_WITHIN = 150.0
"""Seconds until every send has ended once everything is released: half a minute is a killed worker's."""


def drain(world: Playground) -> None:
    """Every send must come to its end, with every message in a final state."""
    _release_everything(world)
    deadline = time.monotonic() + DRAINED_WITHIN
    while live := world.live():
        world.look_at(live)
        assert time.monotonic() < deadline, f"not ended: {[_stuck(world, send) for send in world.live()]}"
        time.sleep(0.1)
    while left := world.reader.unfinished_operations() + _running_workflows(world):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.1)
    failed = [one for one in world.reader.failed_operations() if "cancelled meanwhile" not in one]
    assert not failed, failed
    world.look_at(world.model.sends.values())


def _release_everything(world: Playground) -> None:
    for domain in DOMAINS:
        world.end_suspensions(domain)
    world.order("release", {"all": True}, lambda send, mail: True)
    for send in world.live():
        world.resume(send)
    world.operators.note("everything is released")


def _stuck(world: Playground, send: Send) -> str:
    seen = world.reader.snapshot(send.id)
    workflows = "\n".join(f"{one}:\n{_history(world, one)}" for one in _running_workflows(world))
    return f"{seen.accounting} {[row for row in seen.rows if row.state not in FINAL][:3]}\n{workflows}"


def _history(world: Playground, workflow_id: str) -> str:
    """Its last events, and what it waits for."""
    shown = world.system.cli("workflow", "show", "--workflow-id", workflow_id)
    described = world.system.cli("workflow", "describe", "--workflow-id", workflow_id)
    return "\n".join([*shown.splitlines()[-40:], *described.splitlines()[-25:]])


def _running_workflows(world: Playground) -> list[str]:
    query = 'ExecutionStatus="Running"'
    found = json.loads(world.system.cli("workflow", "list", "--query", query, "--output", "json") or "[]")
    return [one["execution"]["workflowId"] for one in found]
