"""What a new bulk send leaves out of the rules of large mailbox providers: told, never refused."""

from __future__ import annotations

from api.dependencies import Parts
from api.taking.warnings import SendWarning
from postwerk.archive.intake import NewBulkSend
from postwerk.contracts.states import SendKind
from postwerk.mime.imprint import Imprint
from postwerk.rules.bulk_rules import bulk_rule_warnings


def bulk_warnings(parts: Parts, new: NewBulkSend, recipients: int) -> list[SendWarning]:
    """Nothing for what is not a bulk send."""
    if new.kind is not SendKind.BULK:
        return []
    signed = bool(Imprint(parts.signing_keys).keys_for(new.content))
    found = bulk_rule_warnings(new.content, recipients, signed=signed, public_url=parts.config.public_url)
    return [SendWarning(*one) for one in found]
