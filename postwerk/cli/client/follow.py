"""Waiting for something that goes on without us: an operation, a bulk send."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.counting import ENDED, finished, in_words
from postwerk.cli.client.errors import Refused, Unreachable
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.moments import length, until
from postwerk.cli.client.progress import LiveLines, bar
from postwerk.cli.client.terminal import safe, say

_FIRST_SECONDS = 0.2
_LONGEST_SECONDS = 2.0
_PATIENCE_SECONDS = 60.0
_AWAY = 503


def followed_operation(api: Api, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation when it has ended. Ctrl-C stops looking, not the operation."""
    name = str(operation["id"])
    try:
        with LiveLines() as line:
            for pause in _pauses():
                if operation["state"] != "running":
                    break
                line.show([_operation_line(operation)])
                time.sleep(pause)
                operation = _looked_at(api, f"/v1/operations/{segment(name)}", line)
    except KeyboardInterrupt:
        say(f"It goes on: postwerk operations show {safe(name)}")
        raise
    return operation


def _operation_line(operation: dict[str, Any]) -> str:
    matched, done = operation.get("matched"), operation["changed"] + operation["skipped"]
    verb = safe(operation["verb"])
    return f"{verb} {bar(done, matched)} {done:,} of {matched:,}" if matched else f"{verb}: {done:,} so far"


def followed_send(api: Api, bulk_id: str) -> dict[str, Any]:
    """The bulk send when it has ended. Ctrl-C stops looking, not the send."""
    path = f"/v1/bulk-sends/{segment(bulk_id)}"
    view: dict[str, Any] = api.get(path)
    try:
        with LiveLines() as line:
            for pause in _pauses():
                if view["state"] in ENDED:
                    break
                line.show(send_lines(view))
                time.sleep(pause)
                view = _looked_at(api, path, line)
    except KeyboardInterrupt:
        say(f"It goes on: postwerk bulk watch {safe(bulk_id)}")
        raise
    return view


def send_lines(view: dict[str, Any]) -> list[str]:
    """Bar, rate and time left; the counts; and why nothing is sent, if so."""
    done, accepted = finished(view["counts"]), view["accepted"]
    first = [f"{safe(view['state'])} {bar(done, accepted)} {done:,} of {accepted:,}"]
    if view.get("rate_now"):
        first.append(f"{view['rate_now']:,.1f}/s")
    if view.get("eta"):
        first.append(f"{until(datetime.now(UTC), view['eta'])} left")
    waits = [f"  {safe(view['waits_for']['detail'])}"] if view.get("waits_for") else []
    return ["  ".join(first), f"  {in_words(view['counts'])}", *waits]


def _looked_at(api: Api, path: str, line: LiveLines) -> dict[str, Any]:
    """What is there now. An API that is started again meanwhile ends nobody's watch."""
    patient_until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return dict(api.get(path))
        except (Unreachable, Refused) as error:
            gone = isinstance(error, Unreachable) or error.status == _AWAY
            if not gone or time.monotonic() > patient_until:
                raise
            line.show([safe(error)])
            time.sleep(_LONGEST_SECONDS)


def _pauses() -> Iterator[float]:
    """Seconds between two looks: 0.2 at first, then more and more, up to two."""
    pause = _FIRST_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.5, _LONGEST_SECONDS)


def took(view: dict[str, Any]) -> str:
    """How long a bulk send took, if it has started and ended."""
    if not view.get("started_at") or not view.get("finished_at"):
        return ""
    begun, ended = (datetime.fromisoformat(view[name]) for name in ("started_at", "finished_at"))
    return length((ended - begun).total_seconds())
