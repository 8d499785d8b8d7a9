"""Where a webhook may go: what its URL may say, and which addresses are somebody else's (no SSRF).

Nothing is resolved here; whoever connects checks each address that the name has at that moment.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import idna

from postwerk.errors import InvalidRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_URL = 2000
_LONGEST_NAME = 253
_PLAIN = re.compile(r"[!-~]+", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORTS = {"https": 443, "http": 80}
_WELL_KNOWN = 1024
_NOT_FOR_HTTP = {
    *(1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3128, 3306, 3389, 3659, 4045, 4190),
    *(5060, 5061, 5432, 5672, 5900, 5984, 6000, 6379, 6432, 6443, 6566, *range(6665, 6670), 6679, 6697),
    *(7233, 7234, 7235, 7239, 8086, 8233, 8500, 9042, 9092, 9200, 9300, 10080, 10250, 10255, 11211, 25672),
    *range(27017, 27020),
}
"""Databases, brokers, orchestrators and what browsers do not speak to (fetch standard, "bad port")."""

_PRIVATE = [
    ipaddress.ip_network(one)
    for one in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
] + [ipaddress.ip_network(one) for one in ("::1/128", "fc00::/7")]
"""One's own networks; reachable where the settings say so."""
_METADATA = [ipaddress.ip_network(one) for one in ("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32")]
"""Where clouds hand out credentials, besides those in 169.254.0.0/16."""
_NEVER = [
    ipaddress.ip_network(one)
    for one in (
        *("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24"),
        *("192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # Within 2000::/3: IETF protocols with Teredo and ORCHID, documentation, 6to4.
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
]
"""IANA's special-purpose registries: nobody's, everybody's, or another address in disguise."""
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Target(NamedTuple):
    """A checked URL. `host` is a name in A-labels or an address; `url` has nothing odd in it any more."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def address(self) -> Address | None:
        """If it names one."""
        return _address(self.host)


def read_target(text: str, *, private: bool, pointer: str = "#/url") -> Target:
    """The URL of a receiver; `private`: this installation may call its own networks, and without TLS.

    Raises InvalidRequest, also for an address that is not to be called.
    """
    try:
        return _read(text, private)
    except _Refused as refused:
        raise InvalidRequest(refused.words, pointer=pointer, code=refused.code) from None


def may_be_called(address: Address, *, private: bool) -> bool:
    """Whether it is a public address, of a machine; or, if `private`, one of our own networks."""
    if _is_in(address, _METADATA) or _is_in(address, _NEVER):
        return False
    if _is_in(address, _PRIVATE):
        return private
    if isinstance(address, ipaddress.IPv4Address):
        return True
    if address in _NAT64:  # how a network without IPv4 reaches it: what counts is whom
        return may_be_called(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF), private=False)
    return address in _GLOBAL_IPV6


class _Refused(Exception):
    def __init__(self, words: str, code: str = "invalid_url") -> None:
        super().__init__(words)
        self.words = words
        self.code = code


def _read(text: str, private: bool) -> Target:
    parts = _split(text)
    scheme = parts.scheme.lower()
    if scheme != "https" and not (private and scheme == "http"):
        raise _Refused("A webhook goes to https:// only.", "https_required")
    if "@" in parts.netloc:
        raise _Refused("A webhook's URL holds no user and no password; it is signed instead.")
    host, port = _host(parts), _port(parts, scheme)
    address = _address(host)
    if address is not None and not may_be_called(address, private=private):
        raise _Refused("This address is not a public one.", "address_not_public")
    return Target(_written(scheme, host, port, parts), scheme, host, port)


def _split(text: str) -> SplitResult:
    if len(text) > LONGEST_URL:
        raise _Refused(f"A URL has at most {LONGEST_URL} characters.", "too_long")
    if not text.isprintable() or any(sign in text for sign in " \\") or text != text.strip():
        raise _Refused("A URL holds no spaces, backslashes or control characters.")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _Refused("This is not a URL.") from None
    if not parts.netloc or not parts.scheme:
        raise _Refused("Write the whole URL, as https://shop.example/hooks/mail.")
    if parts.fragment or text.endswith("#"):
        raise _Refused("A webhook's URL has no #fragment: it would not be sent.")
    if not _PLAIN.fullmatch(parts.path + parts.query + "x"):
        raise _Refused("Write other letters than ASCII's in path and query as %XX.")
    return parts


def _port(parts: SplitResult, scheme: str) -> int:
    try:
        port = parts.port
    except ValueError:
        raise _Refused("This is not a port.", "port_not_allowed") from None
    usual = _PORTS.values()
    if port is None:
        return _PORTS[scheme]
    if port in _NOT_FOR_HTTP or (port < _WELL_KNOWN and port not in usual):
        raise _Refused("Nothing that takes webhooks listens on this port.", "port_not_allowed")
    return port


def _host(parts: SplitResult) -> str:
    """A name in A-labels and lower case without a final dot, or an address as the standards write it."""
    literal = parts.netloc.startswith("[")
    try:
        host = (parts.hostname or "").lower()
    except ValueError:
        raise _Refused("This is not a host.") from None
    if literal:
        address = _address(host)
        if "%" in host or not isinstance(address, ipaddress.IPv6Address):
            raise _Refused("This is not an IPv6 address.")
        return str(address)
    return _name(host)


def _name(host: str) -> str:
    name = _as_ascii(host).removesuffix(".")
    labels = name.split(".")
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise _Refused("This is not the name of a host.")
    # What ends in a number is an address to every browser and to inet_aton, however it is spelt.
    if _NUMBER.fullmatch(labels[-1]) and not isinstance(_address(name), ipaddress.IPv4Address):
        raise _Refused("Write an IPv4 address as four decimal numbers.")
    return name


def _as_ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise _Refused("This is not the name of a host.") from None


def _written(scheme: str, host: str, port: int, parts: SplitResult) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    place = bracketed if port == _PORTS[scheme] else f"{bracketed}:{port}"
    return f"{scheme}://{place}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_in(address: Address, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
