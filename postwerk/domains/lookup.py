"""Asking DNS: few kinds of records, each answer a plain list, and nothing takes longer than ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

from postwerk.errors import ConfigurationError, PostwerkError

SECONDS = 4.0
"""For one question, with its repetitions."""
DNS_PORT = 53


class DnsAway(PostwerkError):
    """DNS gave no answer."""


class Lookup:
    """Questions to one server, or to those of this machine. Raises ConfigurationError for a bad one."""

    def __init__(self, server: str = "", seconds: float = SECONDS) -> None:
        """`server` is an IP address, with `:port` if it is not 53; empty: as this machine is set up."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not server)
        except dns.resolver.NoResolverConfiguration as error:
            raise ConfigurationError("this machine knows no DNS server; set POSTWERK_DNS_SERVER") from error
        if server:
            self._resolver.nameservers, self._resolver.port = _place(server)
        self._resolver.use_edns(0, payload=1232)  # a DKIM record is longer than 512 octets
        self._resolver.lifetime = seconds
        self._resolver.timeout = seconds / 2

    async def txt(self, name: str) -> list[str]:
        """The texts, each put together from its strings (RFC 7208 3.3)."""
        return [
            b"".join(record.strings).decode("ascii", "replace") for record in await self._ask(name, "TXT")
        ]

    async def mx(self, name: str) -> list[str]:
        """The hosts, the preferred one first; "" for the null MX (RFC 7505)."""
        records = sorted(await self._ask(name, "MX"), key=lambda record: int(record.preference))
        return [record.exchange.to_text().rstrip(".").lower() for record in records]

    async def addresses(self, name: str) -> list[str]:
        """IPv4 before IPv6."""
        found = [*await self._ask(name, "A"), *await self._ask(name, "AAAA")]
        return [record.address for record in found]

    async def names_of(self, address: str) -> list[str]:
        """The names that an IP address points back to."""
        pointer = dns.reversename.from_address(address).to_text()
        return [record.target.to_text().rstrip(".").lower() for record in await self._ask(pointer, "PTR")]

    async def _ask(self, name: str, kind: str) -> Sequence[Any]:
        """Nothing when there is no such name or record. Raises DnsAway."""
        try:
            answer = await self._resolver.resolve(_absolute(name), kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.name.LabelTooLong, dns.name.EmptyLabel):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise DnsAway(f"DNS gave no answer for {kind} of {name} ({type(error).__name__})") from error
        return list(answer)


def _absolute(name: str) -> str:
    return name if name.endswith(".") else f"{name}."


def _place(server: str) -> tuple[list[str], int]:
    host, colon, port = server.rpartition(":")
    if not colon or host.count(":"):  # an IPv6 address has colons of its own
        host, port = (server, str(DNS_PORT)) if "]" not in server else (host, port)
    host = host.strip("[]")
    try:
        return [str(ip_address(host))], int(port)
    except ValueError:
        raise ConfigurationError("POSTWERK_DNS_SERVER is an IP address, with :port if needed") from None
