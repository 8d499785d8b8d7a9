"""What people see: addresses, a progress bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self

from postwerk.contracts.states import FINAL_STATES, MessageState
from postwerk.dev.house import House
from postwerk.dev.ports import Ports

_PLAIN_EVERY_SECONDS = 2.0
_COLOURS = {
    MessageState.DELIVERED: "green",
    MessageState.DEFERRED: "yellow",
    MessageState.BOUNCED: "red",
    MessageState.EXPIRED: "red",
    MessageState.FAILED: "red",
}


def say_moved(ports: Ports) -> None:
    """Ports that were taken by somebody else."""
    for usual, port in ports.moved.items():
        print(f"Port {usual} is taken; {port} is used instead.")


def say_addresses(house: House) -> None:
    """Where everything is."""
    rows = [
        ("Page", f"{house.api_url}/"),
        ("API", f"{house.api_url}/docs"),
        ("Temporal Web UI", house.temporal_ui_url),
        ("Temporal", house.temporal_address),
        ("Sandbox inbox", house.sandbox_url),
        ("Sandbox SMTP", house.relay_url if house.sandbox_url else ""),
        ("Sandbox POP3", f"{house.sandbox_pop3} (user: all, any password)" if house.sandbox_pop3 else ""),
    ]
    print("\n".join(f"  {name:<16} {address}" for name, address in rows if address), flush=True)


def finished(counts: dict[str, int]) -> int:
    """How many messages have reached their end."""
    return sum(number for state, number in counts.items() if state in FINAL_STATES)


class Progress(Protocol):
    """Shows how a bulk send goes on."""

    def show(self, counts: dict[str, int], rate: float) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None: ...


def progress(total: int) -> Progress:
    return BarProgress(total) if sys.stdout.isatty() else PlainProgress(total)


class BarProgress:
    """A bar, and below it the states, drawn again and again."""

    def __init__(self, total: int) -> None:
        # Here, because rich takes longer to import than everything else of `dev`.
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        self._bar = Bar(
            TextColumn(" "),
            BarColumn(bar_width=40),
            TextColumn("[bold]{task.completed:,.0f}[/] of {task.total:,.0f}"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
        )
        self._task = self._bar.add_task("", total=total, rate=0.0)
        self._states = Text("")
        self._live = Live(Group(self._bar, self._states))

    def show(self, counts: dict[str, int], rate: float) -> None:
        self._bar.update(self._task, completed=finished(counts), rate=rate)
        self._states.truncate(0)
        for state, text in _texts(counts):
            self._states.append(f"  {text}", style=_COLOURS.get(state, "dim"))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()


class PlainProgress:
    """A line every two seconds, for logs."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._due = 0.0

    def show(self, counts: dict[str, int], rate: float) -> None:
        done = finished(counts)
        if time.monotonic() < self._due and done < self._total:
            return
        self._due = time.monotonic() + _PLAIN_EVERY_SECONDS
        states = ", ".join(text for _, text in _texts(counts))
        print(f"  {done:,} of {self._total:,} ({rate:,.0f}/s): {states}", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return None


def _texts(counts: dict[str, int]) -> list[tuple[MessageState, str]]:
    """ "12 deferred" for each state that has messages, in the order of a message's life."""
    return [(state, f"{counts[state]:,} {state}") for state in MessageState if counts.get(state)]
