"""What an Operation shows of itself in the Web UI."""

from __future__ import annotations

from datetime import datetime

from postwerk.contracts.queue import Account
from workflows.markdown import moment, table


def operation_details(now: str, since: datetime, account: Account | None) -> str:
    """What it does just now, and how many messages it has found and changed."""
    head = f"**{now}** since {moment(since)}" if now != "done" else f"**done** {moment(since)}"
    if account is None:
        return head
    rows = [
        ("matched", "" if account.matched is None else f"{account.matched:,}"),
        ("changed", f"{account.changed:,}"),
        ("skipped", f"{account.skipped:,}"),
    ]
    name = account.verb.value.replace("_", " ")
    return f"{head}\n\n{table((name, 'messages'), rows, right=(1,))}"
