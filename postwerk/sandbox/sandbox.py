"""What all connections of one sandbox share: its ledger, its memory of recipients, its limits."""

from __future__ import annotations

import time

from postwerk.sandbox.behaviour import Answer, Kind, behaviour_of, refusal_at_rcpt
from postwerk.sandbox.config import SandboxConfig
from postwerk.sandbox.connections import Connections
from postwerk.sandbox.contacts import Contacts
from postwerk.sandbox.domains import Domains
from postwerk.sandbox.late_bounce import LateBounces
from postwerk.sandbox.ledger import Ledger
from postwerk.sandbox.login import MECHANISMS
from postwerk.sandbox.rate import Bucket
from postwerk.sandbox.replies import NAME
from postwerk.sandbox.session import Session

_STOPPING = Answer(421, "4.3.2 The sandbox is stopping")


class Sandbox:
    """The fake mail server, apart from its doors."""

    def __init__(self, config: SandboxConfig, ledger: Ledger) -> None:
        self.config = config
        self.ledger = ledger
        self.ack_delay = config.ack_delay.total_seconds()
        self.ehlo = Answer(250, _extensions(config))
        self.connections = Connections()
        self.domains = Domains(config.domains)
        self.late_bounces = LateBounces(config.bounces_to)
        self._contacts = Contacts()
        self._buckets: dict[str, Bucket] = {}
        self._sessions: set[Session] = set()
        ledger.start(self._contacts)

    @property
    def open_connections(self) -> int:
        return len(self._sessions)

    def admit(self, session: Session) -> bool:
        """Take in one more connection, unless that is too many."""
        most = self.config.max_connections
        if most is not None and len(self._sessions) >= most:
            return False
        self._sessions.add(session)
        return True

    def forget(self, session: Session) -> None:
        self._sessions.discard(session)

    def domain_has_room(self, recipient: str) -> bool:
        """Take a token for the recipient's domain; True when there is no limit."""
        rate = self.config.rate_per_domain
        if rate is None:
            return True
        domain = recipient.rpartition("@")[2].lower()
        return self._buckets.setdefault(domain, Bucket(rate)).take(time.monotonic())

    def judge(self, recipient: str) -> tuple[int, Answer | None]:
        """Count an attempt for `recipient`; return its number and the refusal it gets, if any."""
        attempt = self._contacts.attempt(recipient)
        behaviour = behaviour_of(recipient)
        greylisted = behaviour.kind is Kind.GREYLIST and self._is_greylisted(recipient)
        return attempt, refusal_at_rcpt(behaviour, attempt, greylisted, recipient)

    def _is_greylisted(self, recipient: str) -> bool:
        known = self._contacts.seconds_known(recipient, time.time())
        return known < self.config.greylist_for.total_seconds()

    async def clear(self) -> None:
        """Forget all messages, refusals, recipients and times of connections; rules stay."""
        await self.ledger.clear()
        self.connections.clear()
        self._contacts.clear()

    def say_goodbye(self) -> None:
        """Close all connections."""
        for session in tuple(self._sessions):
            session.leave(_STOPPING)


def _extensions(config: SandboxConfig) -> str:
    offered = [
        "PIPELINING",
        f"SIZE {config.max_message_bytes}",
        "8BITMIME",
        *(["SMTPUTF8"] if config.smtputf8 else []),
        "ENHANCEDSTATUSCODES",
    ]
    if config.credentials is not None:
        offered.append(f"AUTH {b' '.join(MECHANISMS).decode()}")
    return "\n".join([NAME, *offered])
