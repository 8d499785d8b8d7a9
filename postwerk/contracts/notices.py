"""What a notice tells: a bulk send as a whole, and one of its messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from postwerk.contracts.content import Content
from postwerk.contracts.options import BulkOptions, Notify
from postwerk.contracts.states import BulkState, MessageState

FAILED_STATES = (MessageState.BOUNCED, MessageState.EXPIRED, MessageState.FAILED)
"""What a sender is told of as a failure; cancelled and suppressed were somebody's wish."""


@dataclass(frozen=True, slots=True)
class ToldSend:
    """A bulk send whose sender wants to be told."""

    id: str
    name: str
    state: BulkState
    content: Content
    options: BulkOptions
    notify: Notify
    accepted_at: datetime
    finished_at: datetime | None
    deadline: datetime
    accepted: int
    counts: dict[MessageState, int]
    """States without a message are left out."""

    def count(self, *states: MessageState) -> int:
        return sum(self.counts.get(state, 0) for state in states)


@dataclass(frozen=True, slots=True)
class ToldMessage:
    """A message as it stands, with its last attempt."""

    seq: int
    address: str
    name: str
    variables: dict[str, Any]
    state: MessageState
    attempts: int
    changed_at: datetime | None
    reason: str
    code: int | None
    enhanced: str
    said: str
    """The last reply, or what is known instead of one when there is no code. A server's words."""
    host: str
    """Who was talked to last; empty when nobody was."""
    last_attempt_at: datetime | None

    @property
    def reply(self) -> str:
        """Code and words of the last reply; empty when there was none."""
        return f"{self.code} {self.said}".strip() if self.code else ""


class Reason(NamedTuple):
    """How many messages stand in a state for the same reason."""

    state: MessageState
    reason: str
    """A stable name of ours, or the reply's code; never a server's words."""
    messages: int
