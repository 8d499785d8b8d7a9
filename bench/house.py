"""Postwerk as it is run for good: its real processes, sending to a sink of ours instead of the sandbox."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx2

from postwerk.contracts.states import ENDED
from postwerk.dev.house import Wishes, plan_house
from postwerk.dev.ports import Ports
from postwerk.dev.supervisor import Supervisor


def _as_usual(folder: Path) -> dict[str, str]:
    """Compiled modules are kept, as everywhere: without them every workflow compiles its own again."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


class RunningHouse:
    """`with RunningHouse(folder, port) as house:` server, API and worker are up until the block ends."""

    def __init__(
        self,
        folder: Path,
        relay_port: int,
        *,
        worker_processes: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        wishes = Wishes(
            data=folder,
            relay_url=f"smtp://127.0.0.1:{relay_port}",
            settings={"POSTWERK_LOG_LEVEL": "WARNING", **_as_usual(folder), **(settings or {})},
        )
        house = plan_house(wishes, Ports(usual=False))
        worker = house.part("worker")
        assert worker is not None
        many = replace(worker, command=(*worker.command, "--processes", str(worker_processes)))
        parts = tuple(many if part is worker else part for part in house.parts)
        self.plan = replace(house, parts=parts)
        self._supervisor = Supervisor(self.plan)

    def __enter__(self) -> Self:
        self._supervisor.__enter__()
        try:
            self._supervisor.start()
        except BaseException:
            self._supervisor.__exit__()
            raise
        self.http = httpx2.Client(base_url=self.plan.api_url, timeout=600)
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()
        self._supervisor.__exit__()

    def pid(self, part: str) -> int:
        return self._supervisor.running[part].pid

    # Bulk sends

    def post(self, request: Mapping[str, Any]) -> str:
        """`POST /v1/bulk-sends`; answers its id."""
        answer = self.http.post("/v1/bulk-sends", json=dict(request))
        assert answer.status_code == 202, answer.text[:1000]
        return str(answer.json()["id"])

    def post_message(self, request: Mapping[str, Any]) -> str:
        """`POST /v1/messages`; answers the id of its send."""
        answer = self.http.post("/v1/messages", json=dict(request))
        assert answer.status_code == 202, answer.text[:1000]
        return str(answer.json()["bulk_send"])

    def upload(self, bulk_id: str, body: Iterable[bytes], media_type: str, expected: int) -> None:
        answer = self.http.post(
            f"/v1/bulk-sends/{bulk_id}/recipients", content=body, headers={"content-type": media_type}
        )
        assert answer.status_code == 200, answer.text[:1000]
        assert answer.json()["accepted"] == expected, answer.text[:1000]

    def start(self, bulk_id: str) -> None:
        answer = self.http.post(f"/v1/bulk-sends/{bulk_id}/start")
        assert answer.status_code == 202, answer.text[:1000]

    def wait_until_ended(self, bulk_id: str, seconds: float) -> dict[str, Any]:
        """The bulk send as the API shows it once it has ended, every message delivered."""
        deadline = time.monotonic() + seconds
        while True:
            view = self.http.get(f"/v1/bulk-sends/{bulk_id}").raise_for_status().json()
            if view["state"] in ENDED:
                assert view["counts"].get("delivered") == view["accepted"], view["counts"]
                return dict(view)
            if time.monotonic() > deadline:
                raise RuntimeError(f"not ended after {seconds:.0f} s: {view['counts']}")
            time.sleep(0.1)
