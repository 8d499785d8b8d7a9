"""Mailbox providers on a bad day: their mail, and their pace as the sandbox has counted it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from tests.faults.mailing import wait_until
from tests.support.judge import ask_archive
from tests.support.system import System

GMAIL, YAHOO, GMX = "gmail.com", "yahoo.com", "gmx.net"
"""Three lanes."""


def moments_taken(system: System, domain: str, since: float = 0.0, until: float = math.inf) -> list[float]:
    """When each mail to this domain was taken, in seconds since 1970."""
    return [
        float(one["at"])
        for one in system.sandbox.attempts(domain, since)
        if one["verdict"] == "accepted" and one["at"] < until
    ]


def taken(system: System, domain: str, since: float = 0.0, until: float = math.inf) -> int:
    return len(moments_taken(system, domain, since, until))


def tried(system: System, domain: str, since: float = 0.0, until: float = math.inf) -> int:
    """Transactions, whatever came of them."""
    return sum(one["at"] < until for one in system.sandbox.attempts(domain, since))


def most_within(moments: Sequence[float], seconds: float) -> int:
    """How many fell into the busiest such time."""
    return max((sum(start <= at < start + seconds for at in moments) for start in moments), default=0)


def let_pass(seconds: float) -> tuple[float, float]:
    """A window in which something is counted: its begin and its end."""
    begin = time.time()
    time.sleep(seconds)  # what happens meanwhile is the proof
    return begin, time.time()


def await_completed(system: System, bulk_id: str, patience: float = 40) -> None:
    system.wait_until_accounted(bulk_id, patience)
    wait_until(lambda: system.view(bulk_id)["state"] == "completed", "it is completed")


def await_paused(system: System, bulk_id: str, patience: float = 40) -> str:
    """Wait until it is paused, and nothing of it is on its way; answers the reason."""
    wait_until(lambda: system.view(bulk_id)["state"] == "paused", "it is paused", patience)
    wait_until(lambda: system.view(bulk_id)["counts"]["sending"] == 0, "nothing is on its way")
    return str(system.view(bulk_id)["reason"])


def tell(system: System, bulk_id: str, signal: str) -> None:
    """A signal at the command line."""
    system.cli("workflow", "signal", "-w", f"bulk-{bulk_id}", "--name", signal)


def rows_of(system: System, bulk_id: str, columns: str) -> list[tuple[Any, ...]]:
    """Columns of its messages, as the archive holds them."""
    query = f"SELECT {columns} FROM message WHERE bulk_id = '{bulk_id}' ORDER BY seq"
    return ask_archive(system.house.environment["POSTWERK_DATABASE_URL"], query)


def deferrals(system: System, bulk_id: str) -> int:
    """How often any of its messages was refused in a way that counts for its schedule."""
    return sum(count for (count,) in rows_of(system, bulk_id, "deferrals"))
