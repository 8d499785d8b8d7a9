"""What this installation adds to each mail, and to each envelope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import NamedTuple

from postwerk.contracts.content import MailIdentity
from postwerk.mime.imprint import NO_IMPRINT, Imprint
from postwerk.rules.tokens import NO_TOKENS, Tokens


class BounceAddresses(NamedTuple):
    """The envelope senders of one bulk send's messages, the same on every attempt."""

    tokens: Tokens
    domain: str
    identity: MailIdentity

    def of(self, seq: int) -> str:
        accepted = self.identity.accepted_at
        local = self.tokens.bounce_local_part(self.identity.bulk_id, seq, accepted.astimezone(UTC).date())
        return f"{local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Outfit:
    """Signatures, links and bounce addresses."""

    imprint: Imprint = NO_IMPRINT
    tokens: Tokens = NO_TOKENS
    bounce_domain: str = ""
    """Empty: bounces go to the From address."""

    def bounces(self, identity: MailIdentity) -> BounceAddresses | None:
        return BounceAddresses(self.tokens, self.bounce_domain, identity) if self.bounce_domain else None
