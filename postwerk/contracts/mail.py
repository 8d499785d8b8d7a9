"""A message as it goes over the wire, in the two pieces it is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mail:
    """What is a message's own, and behind it what it shares with all others of its send: the same object.

    `shared` is ready for the wire: 7 bit, lines end with CRLF, none begins with a dot, no space stands at an
    end or beside another. Nobody has to look through it for each message (RFC 5321 4.5.2, RFC 6376 3.4).
    """

    own: bytes
    shared: bytes = b""

    @property
    def size(self) -> int:
        """Octets, before dot-stuffing."""
        return len(self.own) + len(self.shared)

    @property
    def body_at(self) -> int:
        """Where in `own` the body begins, behind the blank line."""
        return self.own.index(b"\r\n\r\n") + 4

    def whole(self) -> bytes:
        """In one piece."""
        return self.own + self.shared if self.shared else self.own
