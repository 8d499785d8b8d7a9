"""A shell before the whole system, where the command line and `temporal` are at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

from postwerk.dev.house import temporal_program
from tests.support.sandbox import ROOT, eventually
from tests.support.system import System

MUCH_LATER = {"initial": "2h", "maximum": "2h"}


class Prompt:
    """A shell before the system, in which `$BULK` and `$MESSAGE` are of a bulk send that waits."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self._folder = folder
        self._worlds = 0
        self.bulk_id = ""
        self.number = 1
        """Of the message that `$MESSAGE` is."""
        (folder / "postwerk").write_text(f'#!/bin/sh\nexec {sys.executable} -m postwerk "$@"\n')
        (folder / "postwerk").chmod(0o755)
        (folder / "temporal").symlink_to(temporal_program())

    @property
    def variables(self) -> dict[str, str]:
        return {
            "BULK": self.bulk_id,
            "MESSAGE": f"{self.bulk_id}.{self.number}",
            "API": self.system.house.api_url,
        }

    def new_world(self, **kinds: int) -> None:
        """Nothing is open but a bulk send to so many addresses of each kind, tried once; `full` ones wait."""
        self.empty()
        self._worlds += 1
        end = f"{self._worlds}@gmx.de"
        to = [_address(kind, n, end) for kind, count in kinds.items() for n in range(1, count + 1)]
        self.send(to)
        outcomes = {"full": "deferred", "bounce": "bounced", "ok": "delivered"}
        tried = {outcomes[kind]: count for kind, count in kinds.items()}
        eventually(lambda: self.counts == tried, 30)

    def send(self, to: list[str], **changes: Any) -> None:
        """The bulk send that `$BULK` is from now on."""
        request = {"name": "spring", "from": "Shop <news@shop.example>", "subject": "Spring"}
        request |= {"text": "It is here.", "recipients": [{"to": one} for one in to], "retry": MUCH_LATER}
        self.bulk_id, self.number = self.system.post(request | changes)["id"], 1

    def empty(self) -> None:
        """Nothing is open, and nothing suspended."""
        for one in self.get("/v1/suspensions?active=true")["data"]:
            self.system.api.delete(f"/v1/suspensions/{one['id']}").raise_for_status()
        everything = {"filter": {"all": True}, "reason": "the next example"}
        self.system.api.post("/v1/queue/cancel", json=everything).raise_for_status()
        eventually(lambda: self.get("/v1/queue/count")["count"] == 0, 30)

    def get(self, path: str) -> dict[str, Any]:
        return dict(self.system.api.get(path).raise_for_status().json())

    @property
    def counts(self) -> dict[str, int]:
        return {state: n for state, n in self.system.view(self.bulk_id)["counts"].items() if n}

    def type(self, command: str) -> str:
        """What it prints; must end with exit code 0."""
        house = self.system.house
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("POSTWERK_", "TEMPORAL_"))
        }
        ours = {"POSTWERK_API_URL": house.api_url, "POSTWERK_USER": "ada@mx1", "PYTHONPATH": str(ROOT)}
        ours |= {"TEMPORAL_ADDRESS": house.temporal_address, "PATH": f"{self._folder}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env=kept | ours | self.variables,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"$ {command}\nended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def call(self, written: str) -> httpx2.Response:
        """`POST /path {"json": ...}`; must be taken."""
        for name, value in self.variables.items():
            written = written.replace(f"${name}", value)
        method, path, *body = written.split(" ", 2)
        answer = self.system.api.request(method, path, json=json.loads(body[0]) if body else None)
        assert answer.is_success, f"{written}: {answer.text}"
        return answer


def _address(kind: str, number: int, end: str) -> str:
    """Who bounced once is on the suppression list, so each world has others; who waits has the page's."""
    return f"full+{number}@gmx.de" if kind == "full" else f"{kind}+{number}.{end}"
