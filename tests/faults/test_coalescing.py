"""Messages that coalesce while workers are killed: one mail for each key, the highest rank's."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.mailing import a_seed, wait_until
from tests.support.system import System

RANKS = (70, 80, 90)
AT_ONCE = 8


@pytest.mark.timeout(180)
def test_a_hundred_keys_send_one_mail_each_though_the_worker_is_killed(tmp_path: Path) -> None:
    _send_and_kill(tmp_path, keys=100, window=12.0, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_keys_send_one_mail_each_though_workers_are_killed_again_and_again(tmp_path: Path) -> None:
    _send_and_kill(tmp_path, keys=1000, window=180.0, kills=4)


def _send_and_kill(data: Path, *, keys: int, window: float, kills: int) -> None:
    chance = a_seed()
    arrivals = [(key, rank) for key in range(keys) for rank in RANKS]
    chance.shuffle(arrivals)
    with System(data) as system:
        began = time.monotonic()
        taken = _post_all(system, arrivals, window, kills, chance)
        assert time.monotonic() - began < window, "the windows have to hold all that arrives"
        _kill_as_they_end(system, began + window, chance)
        wait_until(lambda: _mails(system) >= keys, f"{keys} mails", patience=120)
        ends = {one: _ended(system, message_id) for one, message_id in taken.items()}
        mails = Counter(mail["recipients"][0] for mail in system.sandbox.messages())
        marked = sum(end["possible_duplicate"] for end in ends.values())

    assert len(mails) == keys
    assert sum(mails.values()) <= keys + marked, "a second copy that nobody marked"
    for (key, rank), end in ends.items():
        assert (end["state"], end["coalesced"]["state"], end["coalesced"]["into"]) == (
            ("delivered", "sent", None)
            if rank == RANKS[-1]
            else ("suppressed", "folded", taken[key, RANKS[-1]])
        )


def _post_all(
    system: System, arrivals: list[tuple[int, int]], window: float, kills: int, chance: Random
) -> dict[tuple[int, int], str]:
    """Ids by key and rank; the worker is killed in between, and comes back."""
    step = len(arrivals) // kills
    taken: dict[tuple[int, int], str] = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for start in range(0, len(arrivals), step):
            some = arrivals[start : start + step]
            posted = [threads.submit(_post, system, key, rank, window) for key, rank in some]
            time.sleep(chance.random())
            system.kill("worker")
            time.sleep(chance.random())
            system.start("worker")
            taken |= {one: post.result() for one, post in zip(some, posted, strict=True)}
    return taken


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


def _mails(system: System) -> int:
    return len(system.sandbox.messages())


def _ended(system: System, message_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        return dict(system.api.get(f"/v1/messages/{message_id}").raise_for_status().json())

    wait_until(lambda: look()["state"] in ("delivered", "suppressed"), message_id)
    return look()
