"""Every transaction that came as far as MAIL, told one by one or counted: for tests of pace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from postwerk.sandbox.entries import ABANDONED, REFUSED

IN_TRANSACTION = ("mail", "rcpt", "data", "dot")
"""The stages of an attempt; what is refused before (banner, ehlo, auth) or behind (quit) is none."""

PERIODS = {"second": 1, "minute": 60}

ATTEMPTS = f"""
SELECT taken_at AS at, rcpt_to, attempt, verdict, 'dot' AS stage,
       CASE verdict WHEN 'accepted' THEN 250 ELSE 0 END AS code
FROM message WHERE taken_at >= :since AND rcpt_to LIKE :to ESCAPE '\\'
UNION ALL
SELECT at, rcpt_to, attempt, '{REFUSED}', stage, code
FROM refusal WHERE at >= :since AND rcpt_to LIKE :to ESCAPE '\\'
UNION ALL
SELECT at, rcpt_to, attempt, '{ABANDONED}', stage, 0
FROM abandoned WHERE at >= :since AND rcpt_to LIKE :to ESCAPE '\\'
ORDER BY at
"""


def recipients_of(domain: str | None) -> str:
    """The LIKE pattern of a domain's addresses; it looks at ASCII letters in either case."""
    if domain is None:
        return "%"
    escaped = domain.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%@{escaped}"


def told(rows: Iterable[tuple[Any, ...]], stages: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of ATTEMPTS at these stages, oldest first; `domain` is empty when MAIL was refused."""
    wanted = frozenset(stages)
    return [
        {
            "at": at,
            "domain": recipient.rpartition("@")[2].lower(),
            "recipient": recipient,
            "attempt": attempt,
            "verdict": verdict,
            "stage": stage,
            "code": code,
        }
        for at, recipient, attempt, verdict, stage, code in rows
        if stage in wanted
    ]


def counted(attempts: Iterable[dict[str, Any]], seconds: int) -> list[dict[str, Any]]:
    """How many there were in each period of so many seconds; `at` is the period's first second."""
    periods = Counter(
        (int(one["at"] // seconds) * seconds, one["domain"], one["verdict"], one["code"]) for one in attempts
    )
    return [
        {"at": at, "domain": domain, "verdict": verdict, "code": code, "count": count}
        for (at, domain, verdict, code), count in sorted(periods.items())
    ]
