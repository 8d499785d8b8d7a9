"""Messages that coalesce while workers are killed: one mail for each window, the highest rank's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.mailing import a_seed, wait_until
from tests.support.judge import ask_archive
from tests.support.system import System

RANKS = (70, 80, 90)
AT_ONCE = 8
_WAITING = "SELECT count(*) FROM bulk_send WHERE state <> 'completed'"


@pytest.mark.timeout(180)
def test_forty_keys_send_one_mail_each_though_the_worker_is_killed(tmp_path: Path) -> None:
    _send_and_kill(tmp_path, keys=40, window=4.0, kills=1, as_they_end=False)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_thousand_keys_send_one_mail_each_though_workers_are_killed_again_and_again(tmp_path: Path) -> None:
    _send_and_kill(tmp_path, keys=1000, window=120.0, kills=5, as_they_end=True)


def _send_and_kill(data: Path, *, keys: int, window: float, kills: int, as_they_end: bool) -> None:
    chance = a_seed()
    arrivals = [(key, rank) for key in range(keys) for rank in RANKS]
    chance.shuffle(arrivals)
    with System(data) as system:
        began = time.monotonic()
        ids = _post_all(system, arrivals, window, kills, chance)
        print(f"{len(arrivals)} posted in {time.monotonic() - began:.1f} s")
        if as_they_end:
            _kill_as_they_end(system, began + window, chance)
        url = system.house.environment["POSTWERK_DATABASE_URL"]
        wait_until(lambda: ask_archive(url, _WAITING) == [(0,)], "all have ended", patience=600)
        print(f"all have ended after {time.monotonic() - began:.1f} s")
        messages = [_show(system, message_id) for message_id in ids]
        mails = Counter(mail["rcpt_to"] for mail in system.sandbox.messages())

    windows = list(_windows(messages, window))
    assert {one["to"] for one in messages} == set(mails)
    marked = sum(one["possible_duplicate"] for one in messages)
    assert len(windows) <= sum(mails.values()) <= len(windows) + marked, "a copy that nobody marked"
    for inside in windows:
        best = max(inside, key=lambda one: one["coalesced"]["rank"])
        for one in inside:
            found = (one["state"], one["coalesced"]["state"], one["coalesced"]["into"])
            wanted = ("delivered", "sent", None) if one is best else ("suppressed", "folded", best["id"])
            assert found == wanted, inside


def _windows(messages: Sequence[dict[str, Any]], window: float) -> Iterator[list[dict[str, Any]]]:
    """Those of a key that arrived within a window of the first one."""
    by_key: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(messages, key=_arrived_at):
        by_key.setdefault(one["coalesced"]["key"], []).append(one)
    for some in by_key.values():
        while some:
            ends = _arrived_at(some[0]) + window
            inside = [one for one in some if _arrived_at(one) < ends]
            yield inside
            some = some[len(inside) :]


def _arrived_at(message: dict[str, Any]) -> float:
    return datetime.fromisoformat(message["coalesced"]["arrived_at"]).timestamp()


def _post_all(
    system: System, arrivals: list[tuple[int, int]], window: float, kills: int, chance: Random
) -> list[str]:
    """Their ids; the worker is killed in between, and comes back."""
    step, ids = len(arrivals) // kills, list[str]()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for start in range(0, len(arrivals), step):
            some = arrivals[start : start + step]
            posted = [threads.submit(_post, system, key, rank, window) for key, rank in some]
            time.sleep(chance.random())
            system.kill("worker")
            time.sleep(chance.random())
            system.start("worker")
            ids += [one.result() for one in posted]
    return ids


def _post(system: System, key: int, rank: int, window: float) -> str:
    request: dict[str, Any] = {
        "from": "App <app@shop.example>",
        "to": f"ok+{key}@example.com",
        "subject": f"You have used {rank} %",
        "text": f"You have used {rank} % of your quota.",
        "coalesce": {"key": f"quota-{key}", "rank": rank, "window": window},
    }
    answer = system.api.post("/v1/messages", json=request)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _kill_as_they_end(system: System, first_end: float, chance: Random) -> None:
    """Some windows have ended and some have not."""
    time.sleep(max(first_end - time.monotonic(), 0) + chance.random())
    system.kill("worker")
    system.start("worker")


def _show(system: System, message_id: str) -> dict[str, Any]:
    return dict(system.api.get(f"/v1/messages/{message_id}").raise_for_status().json())
