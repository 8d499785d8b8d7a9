"""A real bulk send to the sandbox, watched to its end."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from postwerk.dev.demo_mail import demo_request
from postwerk.dev.house import House
from postwerk.dev.screen import finished, progress
from postwerk.dev.supervisor import Supervisor
from postwerk.errors import PostwerkError

_LOOK_EVERY_SECONDS = 0.25
_RATE_OVER_SECONDS = 3.0


class DemoFailed(PostwerkError):
    """The demo did not come to its end."""


@dataclass(frozen=True, slots=True)
class Result:
    """How the demo's bulk send ended, by the API and by the sandbox."""

    bulk_id: str
    workflow_id: str
    accepted: int
    counts: dict[str, int]
    sandbox_took: int
    seconds: float

    @property
    def accounted_for(self) -> bool:
        return finished(self.counts) == self.accepted

    @property
    def sandbox_agrees(self) -> bool:
        """At least one copy of each delivered message is in the sandbox, and nothing else."""
        return self.sandbox_took == self.counts.get("delivered", 0)


class Rate:
    """Messages finished a second, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> float:
        self._seen.append((now, done))
        while now - self._seen[0][0] > _RATE_OVER_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        return (done - before) / (now - then) if now > then else 0.0


def send_demo(supervisor: Supervisor, recipients: int, limit_seconds: float) -> Result:
    """Post the send and watch it. Raises DemoFailed, PartFailed or Interrupted."""
    house = supervisor.house
    with (
        httpx2.Client(base_url=house.api_url, timeout=30) as api,
        httpx2.Client(base_url=house.sandbox_url, timeout=10) as sandbox,
    ):
        before = _sandbox_took(sandbox)
        began = time.monotonic()
        taken = _post(api, recipients)
        counts = _follow(supervisor, api, taken, began + limit_seconds)
        return Result(
            bulk_id=taken["id"],
            workflow_id=taken["workflow_id"],
            accepted=taken["accepted"],
            counts=counts,
            sandbox_took=_sandbox_took(sandbox) - before,
            seconds=time.monotonic() - began,
        )


def _post(api: httpx2.Client, recipients: int) -> dict[str, Any]:
    answer = api.post("/v1/bulk-sends", json=demo_request(recipients))
    if answer.status_code != 202:
        raise DemoFailed(f"The API did not take the demo: {answer.status_code} {answer.text[:500]}")
    return dict(answer.json())


def _follow(
    supervisor: Supervisor, api: httpx2.Client, taken: dict[str, Any], deadline: float
) -> dict[str, int]:
    """Show the counts until all is accounted for, or the time is over."""
    rate, counts = Rate(), dict[str, int]()
    with progress(taken["accepted"]) as screen:
        while True:
            counts = _counts(api, taken["id"]) or counts
            now = time.monotonic()
            screen.show(counts, rate.add(now, finished(counts)))
            if finished(counts) == taken["accepted"] or now > deadline:
                return counts
            supervisor.pause(_LOOK_EVERY_SECONDS)


def _counts(api: httpx2.Client, bulk_id: str) -> dict[str, int] | None:
    """None while the API is being restarted."""
    try:
        answer = api.get(f"/v1/bulk-sends/{bulk_id}")
    except httpx2.TransportError:
        return None
    return dict(answer.raise_for_status().json()["counts"])


def _sandbox_took(sandbox: httpx2.Client) -> int:
    return int(sandbox.get("/api/counts").raise_for_status().json()["accepted"])


def links(house: House, result: Result) -> list[tuple[str, str]]:
    """Where to look at what was sent."""
    workflow = quote(result.workflow_id, safe="")
    return [
        ("The page", f"{house.api_url}/"),
        ("API docs", f"{house.api_url}/docs"),
        ("This bulk send", f"{house.api_url}/v1/bulk-sends/{result.bulk_id}"),
        ("Its workflow", f"{house.temporal_ui_url}/namespaces/{house.namespace}/workflows/{workflow}"),
        ("Sandbox inbox", house.sandbox_url),
        ("Sandbox POP3", f"{house.sandbox_pop3} (user: all, any password)" if house.sandbox_pop3 else ""),
    ]
