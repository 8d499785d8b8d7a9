"""Reading the records that speak about a domain: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

MOST_SPF_LOOKUPS = 10
"""RFC 7208 4.6.4."""
_TERM = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9._-]*)(?:([:=/])(.*))?")
_COSTS_A_LOOKUP = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_FREE_MAILERS = frozenset({
    "gmail.com", "googlemail.com", "yahoo.com", "ymail.com", "rocketmail.com", "aol.com", "outlook.com",
    "hotmail.com", "live.com", "msn.com", "icloud.com", "me.com", "mac.com", "gmx.de", "gmx.net", "gmx.at",
    "gmx.ch", "gmx.com", "web.de", "mail.com", "mail.ru", "yandex.ru", "proton.me", "protonmail.com",
    "zoho.com", "t-online.de", "freenet.de", "orange.fr", "libero.it",
})  # fmt: skip
_YAHOO = re.compile(r"yahoo\.(?:com\.)?[a-z]{2,3}|yahoo\.co\.[a-z]{2}")


class SpfTerm(NamedTuple):
    """One mechanism or modifier: `+`, `include`, `_spf.example.com`."""

    sign: str
    name: str
    value: str

    @property
    def costs_a_lookup(self) -> bool:
        return self.name in _COSTS_A_LOOKUP


def spf_records(texts: Iterable[str]) -> list[str]:
    """Those among a name's TXT records; there must be exactly one."""
    return [text for text in texts if re.match(r"(?i)v=spf1(?: |$)", text)]


def spf_terms(record: str) -> list[SpfTerm]:
    """In their order; what is none is left out."""
    found = [_TERM.fullmatch(word) for word in record.split()[1:]]
    return [
        SpfTerm(one[1] or "+", one[2].lower(), ("/" if one[3] == "/" else "") + (one[4] or ""))
        for one in found
        if one is not None
    ]


def tags(record: str) -> dict[str, str]:
    """`v=DKIM1; k=rsa; p=...` by name (RFC 6376 3.2); spaces in a value are left out."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, equals, value in pairs if equals}


def dmarc_records(texts: Iterable[str]) -> list[str]:
    """Those among a name's TXT records; there must be exactly one."""
    return [text for text in texts if re.match(r"v=DMARC1\s*(?:;|$)", text)]


def parents(domain: str) -> list[str]:
    """The domain, then each parent, the last of one label: where a DMARC policy is looked for."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))][:8]


def is_aligned(domain: str, sender_domain: str, organisation: str, *, strict: bool) -> bool:
    """Whether a signature or envelope of `domain` speaks for the From domain (RFC 7489 3.1).

    `organisation` is the domain that a policy was found at. One below the other is of the same organisation,
    too: whoever has a key for a parent owns that.
    """
    if strict or domain == sender_domain:
        return domain == sender_domain
    if _is_below(domain, sender_domain) or _is_below(sender_domain, domain):
        return True
    return all(one == organisation or _is_below(one, organisation) for one in (domain, sender_domain))


def _is_below(domain: str, parent: str) -> bool:
    return domain.endswith(f".{parent}") and "." in parent


def is_free_mailer(domain: str) -> bool:
    """A domain of mailboxes for everybody: its owner alone may send for it, and its DMARC policy says so."""
    return domain in _FREE_MAILERS or _YAHOO.fullmatch(domain) is not None


def key_trouble(record: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Why a published key does not verify what ours signs; empty when it does. Both as `tags`."""
    if record.get("v", "DKIM1") != "DKIM1":
        return "it is no DKIM record"
    if not record.get("p"):
        return "it says that the key was withdrawn (p= is empty)"
    if record.get("k", "rsa") != ours["k"]:
        return f"it is of the kind {record.get('k', 'rsa')}, ours is {ours['k']}"
    return "" if record["p"] == ours["p"] else "it holds another public key"
