"""Where messages are handed over: host, security, credentials, and how long each stage may take."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from postwerk.errors import ConfigurationError

SETTING = "POSTWERK_RELAY_URL"
FORMS = (
    "smtp://host, smtp+starttls://user:password@host or smtps://user:password@host, each with :port if needed"
)
_ENCODE = "percent-encode special characters in user name and password, e.g. %23 for #"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
_EHLO_NAME = re.compile(r"[!-~]{1,255}")


class Security(StrEnum):
    """How the connection is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    """TLS after STARTTLS (RFC 3207), and never without."""
    IMPLICIT = "implicit"
    """TLS from the first byte (RFC 8314)."""


_SCHEMES = {
    "smtp": (Security.NONE, 25),
    "smtp+starttls": (Security.STARTTLS, 587),
    "smtps": (Security.IMPLICIT, 465),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StageLimits:
    """How long each stage may take; the defaults are those of RFC 5321 4.5.3.2."""

    connect: timedelta = timedelta(seconds=30)
    banner: timedelta = timedelta(minutes=5)
    ehlo: timedelta = timedelta(minutes=5)
    tls: timedelta = timedelta(seconds=60)
    auth: timedelta = timedelta(minutes=2)
    opening: timedelta = timedelta(minutes=6)
    """All the stages above together: their limits add up, a slot must not wait for the sum."""
    mail: timedelta = timedelta(minutes=5)
    rcpt: timedelta = timedelta(minutes=5)
    data: timedelta = timedelta(minutes=2)
    block: timedelta = timedelta(minutes=3)
    """How long an upload may stand still."""
    slowest_upload: int = 1024
    """Bytes per second below which an upload counts as standing still."""
    dot: timedelta = timedelta(minutes=10)
    """The reply to the final dot, plus one second for each 64 KB of the message."""
    quit: timedelta = timedelta(seconds=5)

    def for_upload(self, size: int) -> float:
        """Seconds that `size` bytes may take to leave, however steadily they move."""
        return self.block.total_seconds() + size / self.slowest_upload

    def for_dot(self, size: int) -> float:
        """Seconds to wait for the reply to the dot: what lies in socket buffers has yet to travel."""
        return self.dot.total_seconds() + size / 65536

    def longest(self, size: int) -> timedelta:
        """The longest that opening a connection and one transaction of `size` bytes may take."""
        waits = (self.opening, self.mail, self.mail, self.rcpt, self.data)  # the second `mail` is for RSET
        return sum(waits, timedelta(seconds=self.for_upload(size) + self.for_dot(size)))


def _own_name() -> str:
    """Our EHLO name without asking DNS; an address literal if the host has no full name (RFC 5321 4.1.3)."""
    name = socket.gethostname()
    return name if "." in name and _EHLO_NAME.fullmatch(name) else "[127.0.0.1]"


def _fits_dns(host: str) -> bool:
    """An empty label or one of more than 63 characters would raise a UnicodeError at every connect."""
    return ":" in host or all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))


@dataclass(frozen=True, kw_only=True)
class RelayConfig:
    """One SMTP server that takes our messages. Checked when built."""

    name: str = "default"
    host: str
    port: int
    security: Security = Security.NONE
    username: str = ""
    password: str = field(default="", repr=False)
    ehlo_name: str = field(default_factory=_own_name)
    ca_file: str | None = None
    """Certificates to trust instead of the system's, as PEM."""
    pipelining: bool = True
    """Send MAIL and RCPT together where the server offers it (RFC 2920): one round trip less a message."""
    limits: StageLimits = StageLimits()

    def __post_init__(self) -> None:
        self._check_destination()
        self._check_credentials()
        if self.security is not Security.NONE:
            _ = self.tls_context

    @classmethod
    def from_url(cls, url: str, **overrides: Any) -> RelayConfig:
        """Read a relay from its URL; `overrides` are further fields, such as `ca_file` or `limits`."""
        parts, port = _split(url)
        security, default_port = _SCHEMES[parts.scheme]
        settings: dict[str, Any] = {
            "host": parts.hostname or "",
            "port": default_port if port is None else port,
            "security": security,
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
        }
        return cls(**(settings | overrides))

    @property
    def scheme(self) -> str:
        """As in the URL."""
        return next(scheme for scheme, (security, _) in _SCHEMES.items() if security is self.security)

    @cached_property
    def tls_context(self) -> ssl.SSLContext:
        """Verifies chain and name, TLS 1.2 at least; built once, for it costs some 20 ms."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError:
            raise ConfigurationError(
                f"relay {self.name}: the CA file {self.ca_file} cannot be read; give a PEM file"
            ) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _check_destination(self) -> None:
        if not self.host:
            raise _wrong("names no host", f"use {FORMS}")
        if not _HOST.fullmatch(self.host) or not _fits_dns(self.host):
            raise _wrong("has a host that is neither a name nor an address", f"use {FORMS}")
        if not 0 < self.port < 65536:
            raise _wrong("has a bad port", "use a number from 1 to 65535")
        if not _EHLO_NAME.fullmatch(self.ehlo_name):
            raise ConfigurationError(
                f"relay {self.name}: the EHLO name must be ASCII without spaces, e.g. mail.example.org"
            )

    def _check_credentials(self) -> None:
        if bool(self.username) != bool(self.password):
            raise _wrong("has a user name or a password without the other", "give both or none")
        if "\0" in self.username + self.password:
            raise _wrong("has a NUL in its credentials", "no server takes that (RFC 4616)")
        if self.username and self.security is Security.NONE:
            raise _wrong(
                "would send a password in clear text",
                "use smtp+starttls:// or smtps://, or leave the credentials out",
            )


def _split(url: str) -> tuple[SplitResult, int | None]:
    """The URL's parts and port. Messages never repeat any of it: a part may hold a password."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # `from None` here and below, since urllib's messages quote the URL
        raise _wrong("is not a URL", f"use {FORMS}; {_ENCODE}") from None
    if parts.scheme not in _SCHEMES or "://" not in url:
        raise _wrong("has an unknown scheme", f"use {FORMS}")
    if parts.path not in ("", "/") or "?" in url or "#" in url:
        raise _wrong("has a path, a query or a fragment", f"end it after the port; {_ENCODE}")
    try:
        return parts, parts.port
    except ValueError:
        raise _wrong("has a bad port", f"use a number from 1 to 65535; {_ENCODE}") from None


def _wrong(what: str, way_out: str) -> ConfigurationError:
    return ConfigurationError(f"{SETTING} {what}; {way_out}")
