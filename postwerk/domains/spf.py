"""SPF as a receiving server evaluates it (RFC 7208): how many lookups it costs, and whom it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from postwerk.domains.lookup import Lookup
from postwerk.rules.domain_records import MOST_SPF_LOOKUPS, SpfTerm, spf_records, spf_terms

_ENOUGH = 2 * MOST_SPF_LOOKUPS
"""Then it is broken in any case, and is not followed further."""


@dataclass(slots=True)
class Spf:
    """What a domain's record comes to."""

    records: list[str]
    """Of the domain itself."""
    lookups: int = 0
    networks: list[IPv4Network | IPv6Network] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Domains that are included and have no single record."""
    unknown: bool = False
    """It has macros: what it allows depends on the mail."""

    @property
    def last_word(self) -> str:
        """`-all`, `~all`, `?all`, `+all`, `redirect`, or empty: for everybody who is not named."""
        terms = spf_terms(self.records[0]) if self.records else []
        for term in terms:
            if term.name == "all":
                return f"{term.sign}all"
        return "redirect" if any(term.name == "redirect" for term in terms) else ""

    def allows(self, address: str) -> bool:
        return any(ip_address(address) in network for network in self.networks)


async def read_spf(lookup: Lookup, domain: str) -> Spf:
    """Raises DnsAway."""
    spf = Spf(spf_records(await lookup.txt(domain)))
    if len(spf.records) == 1:
        await _follow(lookup, spf, domain, spf.records[0])
    return spf


async def _follow(lookup: Lookup, spf: Spf, domain: str, record: str) -> None:
    for term in spf_terms(record):
        spf.lookups += term.costs_a_lookup
        if spf.lookups > _ENOUGH:
            return
        if "%" in term.value:
            spf.unknown = True
        elif term.name in ("include", "redirect"):
            await _include(lookup, spf, term.value)
        elif term.sign == "+":
            spf.networks += await _networks(lookup, term, domain)


async def _include(lookup: Lookup, spf: Spf, domain: str) -> None:
    records = spf_records(await lookup.txt(domain))
    if len(records) == 1:
        await _follow(lookup, spf, domain, records[0])
    else:
        spf.broken.append(domain)


async def _networks(lookup: Lookup, term: SpfTerm, domain: str) -> list[IPv4Network | IPv6Network]:
    if term.name in ("ip4", "ip6"):
        return _network(term.value)
    if term.name not in ("a", "mx"):
        return []
    name, _, length = term.value.partition("/")
    hosts = [name or domain] if term.name == "a" else await lookup.mx(name or domain)
    found = [address for host in hosts[:10] if host for address in await lookup.addresses(host)]
    ipv4 = length.partition("/")[0]
    return [
        network
        for address in found
        for network in _network(f"{address}/{ipv4}" if ipv4 and "." in address else address)
    ]


def _network(written: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(written, strict=False)]
    except ValueError:
        return []
