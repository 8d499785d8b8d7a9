"""Who may ask the HTTP door: no other site's page, by whatever name it got here."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from ipaddress import ip_address

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.ASCII)

Headers = Mapping[bytes, bytes]


class Guard:
    """The names this server answers to, and the token that is in its own forms."""

    def __init__(self, names: frozenset[str] | None) -> None:
        """`names`: lower case, besides those of loopback. None: any name, on a network of one's own."""
        self._names = names
        self.token = secrets.token_urlsafe(24)

    def knows_host(self, headers: Headers) -> bool:
        """A name that somebody else's DNS made point here is not one of ours (DNS rebinding)."""
        host = _host_of(headers.get(b"host", b""))
        if host is None:
            return False
        return self._names is None or host in self._names or is_loopback_name(host)

    def is_from_another_site(self, headers: Headers) -> bool:
        """Browsers say where a request comes from; other programs do not, and no page can make them."""
        if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
            return True
        origin = headers.get(b"origin")
        return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")

    def is_own_form(self, form: Mapping[str, str]) -> bool:
        return hmac.compare_digest(form.get("token", "").encode(), self.token.encode())


def is_loopback_name(host: str) -> bool:
    """Names and addresses that nobody can make point anywhere else."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _host_of(written: bytes) -> str | None:
    """The host of `host:port` in lower case; None when it cannot be read as one."""
    match = _HOST.fullmatch(written.decode("latin-1").lower())
    return match[1].strip("[]") if match else None
