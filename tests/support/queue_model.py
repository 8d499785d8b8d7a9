"""What may be true of a message and of a bulk send, given what operators asked for (docs/lifecycle.md).

It is kept simple on purpose: not what will happen, but what must never be seen. Every complaint is an
AssertionError that says what was seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.support.archive_reader import Row, Snapshot
from tests.support.ledger_reader import Transaction

FINAL = frozenset({"delivered", "bounced", "expired", "cancelled", "suppressed", "failed", "unknown"})
ENDED = frozenset({"completed", "cancelled"})
STOPPED = frozenset({"paused", "cancelling", "cancelled"})
NO_LATER = 5.0
"""Seconds after an order to stop in which a transaction may still start (P6)."""
HANGS = 1.5
"""Seconds by which the ledger is behind the start of a transaction with an address that hangs a little."""
NEVER = math.inf
_ASKED_FOR = {"held": "hold", "cancelled": "cancel", "expired": "expire"}


@dataclass(slots=True)
class Mail:
    """A message as the model knows it."""

    seq: int
    address: str
    state: str = "queued"
    round: int = 0
    attempts: int = 0
    asked: set[str] = field(default_factory=set)
    """Verbs that may have reached it, ever."""
    must_stay_held: bool = False
    """Seen held, and no release was asked for since."""
    still_from: float = NEVER
    """No transaction from this moment on, until somebody asks for it."""
    copies: int = 0

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def bounces(self) -> bool:
        return self.address.startswith(("bounce", "reject"))


@dataclass(slots=True)
class Send:
    """A bulk send as the model knows it."""

    id: str
    mails: dict[int, Mail]
    state: str = "queued"
    asked: set[str] = field(default_factory=set)
    still_from: float = NEVER

    @property
    def settled(self) -> bool:
        return self.state in ENDED


class Model:
    """All bulk sends of one example."""

    def __init__(self) -> None:
        self.sends: dict[str, Send] = {}
        self.by_address: dict[str, tuple[Send, Mail]] = {}
        self.suspended: dict[str, float] = {}
        """Domain: no transaction from this moment on."""
        self.orders_under_way = False
        """An operation may still be changing messages: who is seen held may be about to be released."""
        self.kills = 0
        """kill -9 of a worker so far: what it had under way may end unknown."""

    def add(self, bulk_id: str, addresses: list[str]) -> Send:
        mails = {seq: Mail(seq, address) for seq, address in enumerate(addresses, 1)}
        send = self.sends[bulk_id] = Send(bulk_id, mails)
        self.by_address |= {mail.address: (send, mail) for mail in mails.values()}
        return send

    def see_transaction(self, seen: Transaction) -> None:
        """The sandbox answered one. Unknown addresses are another example's."""
        send, mail = self.by_address.get(seen.address, (None, None))
        if send is None or mail is None:
            return
        start = seen.at - (HANGS if mail.address.startswith("slow") else 0)
        stops = (mail.still_from, send.still_from, self.suspended.get(mail.domain, NEVER))
        assert start <= min(stops), (
            f"{send.id}.{mail.seq} ({mail.state}, {mail.address}) was tried {start - min(stops):.1f} s after "
            f"nothing of it was to start any more: itself, its send, its domain from {stops}"
        )
        if seen.taken:
            assert (seen.bulk_id, seen.seq) == (send.id, mail.seq), f"{seen} is not {send.id}.{mail.seq}"
            mail.copies += 1

    def see(self, send: Send, seen: Snapshot, now: float) -> None:
        """A look at the archive that began at `now`."""
        assert seen.accounting["adds_up"], f"{send.id} does not add up: {seen.accounting}"
        assert len(seen.rows) == len(send.mails), f"{send.id}: {len(seen.rows)} of {len(send.mails)} rows"
        assert seen.state in ENDED or seen.state in ("queued", "running", "paused", "cancelling"), seen
        if seen.state in ENDED:
            assert not seen.accounting["open"], f"{send.id} is {seen.state}, and open are {seen.accounting}"
        if seen.state == "paused":
            assert "pause" in send.asked, f"{send.id} is paused, and nobody asked for it"
        if seen.state in ("cancelling", "cancelled"):
            assert "cancel" in send.asked, f"{send.id} is {seen.state}, and nobody asked for it"
        if send.state in ENDED and seen.state != send.state:
            assert "retry_failed" in send.asked, f"{send.id} was {send.state} and is {seen.state}"
        for row in seen.rows:
            self._see_row(send, send.mails[row.seq], row, now)
        send.state = seen.state

    def _see_row(self, send: Send, mail: Mail, row: Row, now: float) -> None:
        name = f"{send.id}.{mail.seq} ({mail.address})"
        _check_arrow(name, send, mail, row)
        _check_cause(name, send, mail, row, self.kills)
        _check_copies(name, mail, row)
        if row.state in FINAL:
            mail.still_from = min(mail.still_from, now + NO_LATER)
        mail.must_stay_held = row.state == "held" and not self.orders_under_way
        mail.state, mail.round, mail.attempts = row.state, row.round, row.attempts


def _check_arrow(name: str, send: Send, mail: Mail, row: Row) -> None:
    moved = f"{name} was {mail.state} in round {mail.round} and is {row.state} in round {row.round}"
    assert row.round >= mail.round, moved
    assert row.attempts >= mail.attempts, f"{moved}: {mail.attempts} attempts, then {row.attempts}"
    if row.round > mail.round:
        assert "retry_failed" in send.asked, f"{moved}, and nobody started it again"
        assert mail.state != "delivered", moved
        return
    if mail.state in FINAL:
        assert row.state == mail.state, moved
    if mail.must_stay_held and row.state not in ("cancelled", "expired"):
        assert row.state == "held", f"{moved}, and nobody released it"
    if row.state == "queued":
        assert row.round or not row.attempts, f"{moved} after {row.attempts} attempts"


def _check_cause(name: str, send: Send, mail: Mail, row: Row, kills: int) -> None:
    asked = mail.asked | send.asked
    if row.state in _ASKED_FOR:
        assert _ASKED_FOR[row.state] in asked, f"{name} is {row.state}, and nobody asked for it"
    if row.next_state is not None:
        assert row.state == "sending", f"{name} is {row.state} and shall still become {row.next_state}"
    if row.state == "unknown":
        assert kills, f"{name} is unknown, and nobody was killed"
        assert asked & {"cancel", "expire"}, f"{name} is unknown, and nobody asked for its end"
    if row.marked:
        assert kills, f"{name} is a possible duplicate, and nothing had happened"
    if row.state == "bounced":
        assert mail.bounces, f"{name} bounced"
    assert row.state not in ("failed", "suppressed"), f"{name} is {row.state}"


def _check_copies(name: str, mail: Mail, row: Row) -> None:
    """`mail.copies` was read before `row`: by then its worker may be about to record it."""
    if mail.copies > 1:
        assert row.marked, f"{name} ({row.state}) has {mail.copies} copies and is not marked"
    if mail.copies and row.state not in ("delivered", "sending", "unknown"):
        assert row.marked, f"{name} is {row.state}, and the sandbox has it"
