"""Whether a call comes from this machine itself. When in doubt it does not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import Scope

_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_OWN_NAME = "localhost"


def comes_from_this_machine(scope: Scope) -> bool:
    """Both ends of the connection are this machine's, and nothing says that it was handed on.

    A proxy on the same machine must not open the door to the world, so what carries a proxy's header came
    from elsewhere, whatever the header says. A browser may be led here by a foreign page: then Host or Origin
    name another place.
    """
    headers = Headers(scope=scope)
    if any(name in headers for name in _OF_PROXIES):
        return False
    return _ends_are_own(scope) and _is_named_as_own(_hosts(headers))


def _ends_are_own(scope: Scope) -> bool:
    server, client = scope.get("server"), scope.get("client")
    if server and server[1] is None and str(server[0]).startswith(("/", "\0")) and client is None:
        return True  # a Unix socket
    return all(end is not None and _is_address_of_own(str(end[0])) for end in (server, client))


def _is_address_of_own(text: str) -> bool:
    try:
        return _is_own(ipaddress.ip_address(text))
    except ValueError:
        return False


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _hosts(headers: Headers) -> Iterable[str]:
    """What the caller takes this place for; `null` is the origin of a page without one."""
    yield headers.get("host", _OWN_NAME)
    if "origin" in headers:
        yield headers["origin"].partition("://")[2]


def _is_named_as_own(hosts: Iterable[str]) -> bool:
    return all(_bare(host) == _OWN_NAME or _is_address_of_own(_bare(host)) for host in hosts)


def _bare(host: str) -> str:
    """Without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.lower().partition(":")[0]
