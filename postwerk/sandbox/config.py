"""What one sandbox process can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from postwerk.errors import ConfigurationError
from postwerk.sandbox.domain_rule import DomainRule
from postwerk.sandbox.login import Credentials
from postwerk.sandbox.rate import Rate


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Everything a sandbox is started with; each field's default suits a demo on one machine."""

    host: str = "127.0.0.1"
    """The address both doors listen on."""
    smtp_port: int = 2525
    """0 chooses a free one; the ready line names it."""
    http_port: int = 8025
    """0 chooses a free one; the ready line names it."""
    pop3_port: int | None = None
    """None: no POP3. 0 chooses a free one; on loopback only, since it takes any password."""
    http_name: tuple[str, ...] = ()
    """Names of this host that pages may be asked for under, besides those of loopback."""
    ledger: Path | None = None
    """The SQLite file of everything taken; without one it is a temporary file that goes with the process."""
    max_connections: int | None = None
    """One more is greeted with 421 and closed."""
    rate_per_connection: Rate | None = None
    """Messages on one connection; above it 421 4.7.0 and the connection is closed."""
    rate_per_domain: Rate | None = None
    """Recipients of one domain; above it 450 4.7.1."""
    ack_delay: timedelta = timedelta(0)
    """How long each reply to the final dot is held back, after the ledger has the message."""
    greylist_for: timedelta = timedelta(seconds=300)
    """How long after its first contact a `greylist` address says 450."""
    max_message_bytes: int = 25 * 1024 * 1024
    """Offered as SIZE (RFC 1870) and enforced."""
    smtputf8: bool = True
    """Offer SMTPUTF8 (RFC 6531)."""
    domains: Mapping[str, DomainRule] = field(default_factory=dict)
    """Rules by recipient domain to begin with; they can be changed by HTTP while it runs."""

    bounces_to: tuple[str, int] | None = None
    """The LMTP server that gets the bounces of `latebounce` addresses; without one nothing comes back."""

    credentials: Credentials | None = None
    """Offers AUTH and asks for it before MAIL; on loopback only, since the sandbox speaks no TLS."""

    def __post_init__(self) -> None:
        for name in ("smtp_port", "http_port", "pop3_port"):
            if not 0 <= (getattr(self, name) or 0) <= 65535:
                raise ConfigurationError(f"{name} must be between 0 and 65535")
        if self.max_connections is not None and self.max_connections < 1:
            raise ConfigurationError("max_connections must be at least 1")
        if self.credentials is not None and not _is_loopback(self.host):
            raise ConfigurationError(
                "credentials are offered on a loopback address only, the sandbox has no TLS"
            )
        if self.pop3_port is not None and not _is_loopback(self.host):
            raise ConfigurationError("POP3 is offered on a loopback address only, it takes any password")
        if self.max_message_bytes < 1:
            raise ConfigurationError("max_message_bytes must be at least 1")
        if min(self.ack_delay, self.greylist_for) < timedelta(0):
            raise ConfigurationError("a delay cannot be negative")

    @property
    def http_names(self) -> frozenset[str] | None:
        """Names the HTTP door answers to; None: to any, as it listens beyond this machine."""
        if not self.http_name and not _is_loopback(self.host):
            return None
        return frozenset(name.lower() for name in (*self.http_name, self.host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
