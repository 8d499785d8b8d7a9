"""What an installation puts on each mail it sends: links to unsubscribe, and DKIM signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from postwerk.contracts.content import Content
from postwerk.mime.dkim import signatures
from postwerk.mime.dkim_keys import DkimKey, DkimKeys
from postwerk.mime.unsubscribing import UnsubscribeLinks


@dataclass(frozen=True, slots=True)
class Imprint:
    """One for the whole process; without keys nothing is signed, without links none can be made."""

    keys: DkimKeys = field(default_factory=lambda: DkimKeys(None))
    links: UnsubscribeLinks | None = None

    def lacks(self, content: Content) -> str:
        """What this content asks for and this process cannot give, for people; empty: nothing."""
        wanted = content.list_unsubscribe
        if wanted is not None and wanted.own_link and self.links is None:
            return "POSTWERK_PUBLIC_URL is not set here, so no link to unsubscribe can be made"
        if content.dkim.wanted and content.dkim.selector and not self.keys_for(content):
            domain = content.sender.email.rpartition("@")[2]
            return f"there is no DKIM key {content.dkim.selector} for {domain} here"
        return ""

    def keys_for(self, content: Content) -> tuple[DkimKey, ...]:
        """The keys that sign this content, as they are now."""
        if not content.dkim.wanted:
            return ()
        keys = self.keys.of(content.sender.email.rpartition("@")[2])
        chosen = content.dkim.selector
        return tuple(key for key in keys if key.selector == chosen) if chosen else keys

    def signatures(self, content: Content, mail: Sequence[bytes], at: datetime) -> bytes:
        """The lines that stand before the finished mail, which is handed in in pieces."""
        return signatures(mail, self.keys_for(content), at)


NO_IMPRINT = Imprint()
