"""Watching a running system while something is done to it: ledger and archive against the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Self

from tests.support.archive_reader import ArchiveReader, Snapshot
from tests.support.ledger_reader import LedgerReader
from tests.support.operators import Operators
from tests.support.queue_model import Model, Send
from tests.support.system import System


class Watch:
    """`with Watch(system) as world:` and `begin` for each example."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.operators = Operators(system)
        self.model = Model()
        self.suspensions: dict[str, str] = {}
        self.broken = ""
        """The first complaint, with the steps that led there; then everything else is left undone."""
        self.examples = self.done = 0
        self.wanted = 0
        """Steps; when they are done, nothing more is begun."""

    def __enter__(self) -> Self:
        self.reader = ArchiveReader(self.system.house.environment["POSTWERK_DATABASE_URL"]).__enter__()
        self.ledger = LedgerReader(self.system.data / "sandbox.db")
        return self

    def __exit__(self, *_error: object) -> None:
        self.ledger.close()
        self.reader.__exit__()

    def begin(self) -> None:
        self.examples += self.done < self.wanted
        self.operators.steps.clear()
        self.model = Model()

    def step(self, do: Callable[[], object], look: Callable[[], None]) -> None:
        """Do something and look; the first complaint ends it all."""
        if self.broken or (self.done >= self.wanted and not self.model.sends):
            return
        try:
            do()
            look()
        except Exception as error:  # noqa: BLE001  whatever it was, the steps that led to it are to be seen
            steps = "\n".join(self.operators.steps)
            self.broken = f"example {self.examples}\n{steps}\n{type(error).__name__}: {error}"
        self.done += 1

    def read_ledger(self) -> None:
        for seen in self.ledger.news():
            self.model.see_transaction(seen)

    def look_at(self, sends: Iterable[Send]) -> dict[str, Snapshot]:
        """Ledger, then archive, then the ledger again where the archive knows of more."""
        self.model.orders_under_way = bool(self.reader.unfinished_operations())
        self.read_ledger()
        found = {}
        for send in sends:
            now = time.time()
            found[send.id] = self.reader.snapshot(send.id)
            self.model.see(send, found[send.id], now)
        taken = [m for id_ in found for m in self.model.sends[id_].mails.values() if m.state == "delivered"]
        if any(not mail.copies for mail in taken):
            self.read_ledger()
        false = [mail for mail in taken if not mail.copies]
        assert not false, f"delivered, and the sandbox has none of it: {false[:3]}"
        return found

    def live(self) -> list[Send]:
        return [send for send in self.model.sends.values() if not send.settled]

    def latest(self) -> list[Send]:
        """Ended ones too."""
        return list(self.model.sends.values())[-12:]
