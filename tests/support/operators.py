"""An operator's hands on a running system: calls over HTTP, each of them noted, and no 5xx forgiven."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from tests.support.system import System

REASON = {"reason": "an operator's whim"}


class Operators:
    """Calls the API; `steps` says what was done and what came of it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.steps: list[str] = []
        self._began = time.monotonic()

    def note(self, words: str) -> None:
        self.steps.append(f"{time.monotonic() - self._began:7.2f} s  {words}")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        """Any answer but a 5xx."""
        self.note(f"{method} {path} {_short(body)}")
        answer = self.system.api.request(method, path, json=body)
        self._note_answer(answer)
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def post(self, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        return self.call("POST", path, REASON if body is None else body)

    def cut_off(self, path: str, body: dict[str, Any], after: float) -> None:
        """A call whose API is killed `after` so many seconds: who knows what came of it. Starts it again."""
        self.note(f"POST {path} {_short(body)}, and kill -9 of the API after {after * 1000:.0f} ms")
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(self._try, path, body)
            time.sleep(after)  # the fault itself
            self.system.kill("api")
            asked.result()
        self.system.start("api")

    def _try(self, path: str, body: dict[str, Any]) -> None:
        try:
            with httpx2.Client(base_url=self.system.house.api_url, timeout=30) as http:
                self._note_answer(http.post(path, json=body))
        except httpx2.TransportError as error:
            self.note(f"    -> {type(error).__name__}")

    def _note_answer(self, answer: httpx2.Response) -> None:
        said = answer.json() if answer.content else {}
        kept = ("id", "code", "state", "matched", "changed", "skipped", "count")
        words = ", ".join(f"{name} {said[name]}" for name in kept if said.get(name) is not None)
        self.note(f"    -> {answer.status_code} {words}")


def _short(body: dict[str, Any] | None) -> str:
    if not body:
        return ""
    if "recipients" in body:
        extra = {name: body[name] for name in ("rate", "recipients_per_child") if name in body}
        return f"({len(body['recipients'])} recipients, {extra})"
    return str({name: value for name, value in body.items() if name != "reason"})
