"""The bulk sends of the fault tests, and the moments at which something happens to them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.judge import Verdict, judge, ledger_size
from tests.support.system import System

_PATIENCE = 120.0


def addresses(count: int, name: str = "ok", domain: str = "mail.example") -> list[str]:
    return [f"{name}+{number}@{domain}" for number in range(1, count + 1)]


def a_mailing(to: Sequence[str], **changes: Any) -> dict[str, Any]:
    """A bulk send with short waits, so that a retry does not take longer than the test."""
    request: dict[str, Any] = {
        "from": "Shop <news@shop.example>",
        "subject": "Hello {{ who }}",
        "text": "Dear {{ who }},\nspring is here.\n",
        "html": "<p>Dear {{ who }}, <b>spring</b> is here.</p>",
        "recipients": [{"to": one, "variables": {"who": f"reader {n}"}} for n, one in enumerate(to)],
        "recipients_per_child": 25,
        "retry": {"initial": 1, "maximum": 2},
    }
    return request | changes


def a_seed() -> random.Random:
    """Chance, whose seed is printed: pytest shows it when the test fails."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return random.Random(seed)


def wait_for_mails(system: System, count: int) -> None:
    """Wait until the sandbox has taken so many."""
    wait_until(lambda: ledger_size(system.data / "sandbox.db") >= count, f"{count} mails in the ledger")


def wait_until(look: Callable[[], bool], what: str, patience: float = _PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not look():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def verdict_of(system: System, bulk_id: str, to: Sequence[str], **limits: Any) -> Verdict:
    """Judge a bulk send; its ledger is the whole system's, so other bulk sends have other recipients."""
    verdict = judge(
        system.house.environment["POSTWERK_DATABASE_URL"], system.data / "sandbox.db", bulk_id, to, **limits
    )
    print(verdict)
    return verdict
