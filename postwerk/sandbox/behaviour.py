"""What an address asks of the sandbox: the local part before `+` names it. Nothing here waits or writes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

_NAMED = re.compile(
    r"(ok|defer|greylist|bounce|full|slow|rate|disabled|policy|hint|random4-"
    r"|latebounce|reject-after-dot|hang-after-dot|drop-after-dot|drop-at-data)(\d{0,6})"
)
_SLOW_SECONDS = 2
_HINT_SECONDS = 60
_LATE_SECONDS = 1


class Kind(StrEnum):
    """The names an address can begin with."""

    OK = "ok"
    DEFER = "defer"
    GREYLIST = "greylist"
    BOUNCE = "bounce"
    FULL = "full"
    SLOW = "slow"
    RATE = "rate"
    DISABLED = "disabled"
    POLICY = "policy"
    HINT = "hint"
    RANDOM4 = "random4-"
    LATE_BOUNCE = "latebounce"
    REJECT_AFTER_DOT = "reject-after-dot"
    HANG_AFTER_DOT = "hang-after-dot"
    DROP_AFTER_DOT = "drop-after-dot"
    DROP_AT_DATA = "drop-at-data"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A name and the number behind it: `defer2` is (defer, 2)."""

    kind: Kind
    number: int | None = None

    def applies_to(self, attempt: int) -> bool:
        """True while `attempt` is within the number written; without a number it always is."""
        return self.number is None or attempt <= self.number


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: its code, and its text with the enhanced code (RFC 3463) in front, a line for each line.

    Code 0 stands for silence: nothing goes out, the text is for the ledger.
    """

    code: int
    text: str
    closes: bool = False
    """The connection is closed behind it, as behind every 421."""

    @property
    def wire(self) -> bytes:
        if "\n" not in self.text:
            return f"{self.code} {self.text}\r\n".encode()
        *others, last = self.text.split("\n")
        return "".join(
            [f"{self.code}-{other}\r\n" for other in others] + [f"{self.code} {last}\r\n"]
        ).encode()


OK = Behaviour(Kind.OK)

_RATE_LIMITED = Answer(421, "4.7.28 Our system has detected an unusual rate of unsolicited mail")
_DISABLED = Answer(550, "5.2.1 The email account that you tried to reach is disabled")
_POLICY = Answer(554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org")
_PASSING_TROUBLES = (
    Answer(421, "4.3.2 Service not available, closing transmission channel"),
    Answer(450, "4.2.1 Mailbox busy, try again later"),
    Answer(451, "4.3.0 Local error in processing"),
    Answer(452, "4.3.1 Insufficient system storage"),
)


def behaviour_of(address: str) -> Behaviour:
    """Read the behaviour from an address; an unknown name is `ok`."""
    return _behaviour_named(address.rpartition("@")[0].partition("+")[0].lower())


@lru_cache(maxsize=4096)
def _behaviour_named(name: str) -> Behaviour:
    match = _NAMED.fullmatch(name)
    if match is None:
        return OK
    return Behaviour(Kind(match[1]), int(match[2]) if match[2] else None)


def refusal_at_rcpt(
    behaviour: Behaviour, attempt: int, still_greylisted: bool, address: str
) -> Answer | None:
    """What RCPT TO:<address> is refused with at this attempt (1 is the first), or None for 250."""
    match behaviour.kind:
        case Kind.DEFER if behaviour.number is None:
            return Answer(451, "4.7.1 Try again later, this address always says so")
        case Kind.DEFER if behaviour.applies_to(attempt):
            return Answer(
                451, f"4.3.0 Try again later, attempt {attempt} of {behaviour.number} to be deferred"
            )
        case Kind.GREYLIST if still_greylisted:
            return Answer(450, "4.2.0 Greylisted, try again later")
        case Kind.BOUNCE:
            return Answer(550, "5.1.1 No such user here")
        case Kind.FULL:
            return Answer(452, "4.2.2 Mailbox full")
        case Kind.RATE if behaviour.applies_to(attempt):
            return _RATE_LIMITED
        case Kind.DISABLED if behaviour.applies_to(attempt):
            return _DISABLED
        case Kind.POLICY if behaviour.applies_to(attempt):
            return _POLICY
        case Kind.HINT if attempt == 1:
            seconds = _HINT_SECONDS if behaviour.number is None else behaviour.number
            return Answer(451, f"4.7.1 Greylisted, try again in {seconds} seconds")
        case Kind.RANDOM4 if attempt == 1:
            return _passing_trouble(address, behaviour.number or 0)
    return None


def _passing_trouble(address: str, percent: int) -> Answer | None:
    """The same for the same address: one of four refusals for `percent` of all addresses, else None."""
    drawn = int.from_bytes(hashlib.sha256(address.lower().encode()).digest()[:8])
    return _PASSING_TROUBLES[drawn // 100 % len(_PASSING_TROUBLES)] if drawn % 100 < percent else None


def refusal_after_dot(behaviour: Behaviour) -> Answer | None:
    """What the whole message is refused with once the final dot is here, or None."""
    if behaviour.kind is Kind.REJECT_AFTER_DOT:
        return Answer(554, "5.6.0 Message refused after the final dot")
    return None


def delay_seconds(behaviour: Behaviour) -> float:
    """How long the reply to the final dot is held back for this address."""
    if behaviour.kind is not Kind.SLOW:
        return 0
    return _SLOW_SECONDS if behaviour.number is None else behaviour.number


def late_bounce_seconds(behaviour: Behaviour) -> float | None:
    """How long after it was taken a mail to this address comes back; None: it does not."""
    if behaviour.kind is not Kind.LATE_BOUNCE:
        return None
    return _LATE_SECONDS if behaviour.number is None else behaviour.number
