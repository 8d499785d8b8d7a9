"""What the listener for mail that comes back can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from postwerk.errors import ConfigurationError
from postwerk.rules.pace import Rate


@dataclass(frozen=True, slots=True)
class InboundConfig:
    """Where it listens, for which domain, and how much it takes."""

    domain: str
    """Mail to any address of this domain is taken, and no other."""
    host: str = "127.0.0.1"
    port: int = 2424
    """0 chooses a free one; the ready line names it."""
    protocol: Literal["lmtp", "smtp"] = "lmtp"
    max_bytes: int = 1024 * 1024
    """Largest mail."""
    connections: int = 50
    """At the same time; one more is answered with 421."""
    rate: Rate | None = None
    """New connections at most; above it 421."""
    timeout_seconds: float = 60.0
    """Longest silence between two commands, and longest time for one mail to arrive."""
    session_seconds: float = 600.0
    """Longest connection."""
    hostname: str = "localhost"
    """By which it greets."""

    def __post_init__(self) -> None:
        if not self.domain:
            raise ConfigurationError(
                "POSTWERK_BOUNCE_DOMAIN is not set; name the domain whose mail is led to this listener, "
                "e.g. bounce.example.com"
            )
