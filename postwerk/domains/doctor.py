"""Is a domain ready to send from? Every check stands for itself and answers verdicts with the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from postwerk.contracts.domains import DomainReport, Level, Verdict
from postwerk.domains.lookup import DnsAway, Lookup
from postwerk.domains.spf import Spf, read_spf
from postwerk.mime.dkim_keys import DkimKey
from postwerk.rules.domain_records import (
    MOST_SPF_LOOKUPS,
    dmarc_records,
    is_aligned,
    is_free_mailer,
    key_trouble,
    parents,
    tags,
)

PATIENCE_SECONDS = 10.0
"""For all of it; what has no answer then is said to have none."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A From domain, and what this installation sends with."""

    domain: str
    keys: Sequence[DkimKey] = ()
    bounce_domain: str = ""
    relay_host: str = ""
    """Host name or IP address of the relay; empty: not known."""
    ehlo_name: str = ""
    public_url: str = ""

    @property
    def envelope_domain(self) -> str:
        """Whose SPF record receiving servers look at."""
        return self.bounce_domain or self.domain


async def examine(sender: Sender, lookup: Lookup) -> DomainReport:
    """All checks at the same time, at most ten seconds."""
    checks: tuple[tuple[str, _Check], ...] = (
        ("sender", _sender),
        ("mx", _mx),
        ("spf", _spf),
        ("dkim", _dkim),
        ("dmarc", _dmarc),
        ("bounce_domain", _bounce_domain),
        ("host_name", _host_name),
        ("public_url", _public_url),
    )
    found = await asyncio.gather(*(_run(name, check, sender, lookup) for name, check in checks))
    return DomainReport(domain=sender.domain, verdicts=tuple(one for some in found for one in some))


_Check = Callable[[Sender, Lookup], Awaitable[list[Verdict]]]


async def _run(name: str, check: _Check, sender: Sender, lookup: Lookup) -> list[Verdict]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await check(sender, lookup)
    except DnsAway as error:
        return [
            _verdict(name, Level.WARN, error.message, "Try again; if it stays so, look at the name servers.")
        ]
    except TimeoutError:
        return [_verdict(name, Level.WARN, "DNS took longer than ten seconds.", "Try again.")]


def _verdict(check: str, level: Level, detail: str, advice: str = "") -> Verdict:
    return Verdict(check=check, level=level, detail=detail, advice=advice)


async def _sender(sender: Sender, _lookup: Lookup) -> list[Verdict]:
    if is_free_mailer(sender.domain):
        detail = f"{sender.domain} belongs to a mailbox provider; its policy makes others refuse your mail."
        return [_verdict("sender", Level.FAIL, detail, "Send from a domain of your own.")]
    return []


async def _mx(sender: Sender, lookup: Lookup) -> list[Verdict]:
    hosts = await lookup.mx(sender.domain)
    if hosts == [""]:
        advice = "Take the null MX away, or send from a domain that takes answers."
        return [_verdict("mx", Level.FAIL, "The domain says that it takes no mail (null MX).", advice)]
    if hosts:
        return [_verdict("mx", Level.OK, f"Answers go to {', '.join(hosts[:3])}.")]
    if await lookup.addresses(sender.domain):
        return [
            _verdict("mx", Level.WARN, "There is no MX record, only an address.", "Publish an MX record.")
        ]
    return [_verdict("mx", Level.FAIL, "There is no MX record and no address.", "Publish an MX record.")]


async def _spf(sender: Sender, lookup: Lookup) -> list[Verdict]:
    domain = sender.envelope_domain
    spf = await read_spf(lookup, domain)
    wrong = _wrong_spf(domain, spf)
    if wrong is not None:
        return [wrong]
    return [await _relay_in_spf(sender, lookup, spf)]


def _wrong_spf(domain: str, spf: Spf) -> Verdict | None:
    if not spf.records:
        advice = f'Publish a TXT record at {domain}: "v=spf1 include:<your relay> -all".'
        return _verdict("spf", Level.FAIL, f"{domain} has no SPF record.", advice)
    if len(spf.records) > 1:
        detail = f"{domain} has {len(spf.records)} SPF records; then none of them counts."
        return _verdict("spf", Level.FAIL, detail, "Put them together into one.")
    if spf.lookups > MOST_SPF_LOOKUPS:
        detail = f"Its SPF record costs {spf.lookups} lookups; more than {MOST_SPF_LOOKUPS} make it invalid."
        return _verdict("spf", Level.FAIL, detail, "Leave out includes that are not used any more.")
    if spf.broken:
        detail = f"Its SPF record includes {', '.join(spf.broken[:3])}, which has no single SPF record."
        return _verdict("spf", Level.FAIL, detail, "Correct or leave out the include.")
    if spf.last_word == "+all":
        return _verdict(
            "spf", Level.FAIL, "Its SPF record allows everybody (+all).", "End it with -all or ~all."
        )
    if spf.last_word in ("", "?all"):
        detail = "Its SPF record says nothing about everybody else."
        return _verdict("spf", Level.WARN, detail, "End it with -all or ~all.")
    return None


async def _relay_in_spf(sender: Sender, lookup: Lookup, spf: Spf) -> Verdict:
    fine = f"One SPF record at {sender.envelope_domain}, {spf.lookups} lookups, {spf.last_word}."
    host = sender.relay_host
    addresses = [host] if _is_address(host) else await lookup.addresses(host) if "." in host else []
    public = [address for address in addresses if ip_address(address).is_global]
    missing = [address for address in public if not spf.allows(address)]
    if missing and not spf.unknown:
        detail = f"The SPF record of {sender.envelope_domain} does not name the relay ({missing[0]})."
        advice = "Add it, unless the relay hands mail on from other addresses that are named."
        return _verdict("spf", Level.WARN, detail, advice)
    return _verdict("spf", Level.OK, fine + (" It names the relay." if public and not missing else ""))


async def _dkim(sender: Sender, lookup: Lookup) -> list[Verdict]:
    if not sender.keys:
        detail = f"There is no DKIM key for {sender.domain} here: mail goes to the relay without a signature."
        advice = f"`postwerk dkim create {sender.domain}`, unless the relay signs."
        return [_verdict("dkim", Level.WARN, detail, advice)]
    return [await _published(key, lookup) for key in sender.keys]


async def _published(key: DkimKey, lookup: Lookup) -> Verdict:
    records = await lookup.txt(key.record_name)
    advice = f'Publish a TXT record at {key.record_name}: "{key.record}"'
    if not records:
        return _verdict("dkim", Level.FAIL, f"{key.record_name} has no record.", advice)
    if len(records) > 1:
        return _verdict("dkim", Level.FAIL, f"{key.record_name} has several records.", "Leave only one.")
    record = tags(records[0])
    if trouble := key_trouble(record, tags(key.record)):
        return _verdict(
            "dkim", Level.FAIL, f"The record at {key.record_name} does not fit: {trouble}.", advice
        )
    if "y" in record.get("t", "").split(":"):
        detail = f"The record at {key.record_name} says that signatures are a test (t=y)."
        return _verdict("dkim", Level.WARN, detail, "Take t=y out.")
    return _verdict("dkim", Level.OK, f"{key.record_name} holds our {key.algorithm} key.")


async def _dmarc(sender: Sender, lookup: Lookup) -> list[Verdict]:
    place, records = await _policy(sender.domain, lookup)
    if not records:
        advice = f'Publish a TXT record at _dmarc.{sender.domain}: "v=DMARC1; p=none; rua=mailto:..."'
        return [_verdict("dmarc", Level.FAIL, "There is no DMARC record; bulk mail needs one.", advice)]
    if len(records) > 1:
        detail = f"_dmarc.{place} has {len(records)} DMARC records; then none of them counts."
        return [_verdict("dmarc", Level.FAIL, detail, "Leave only one.")]
    policy = tags(records[0])
    if policy.get("p", "").lower() not in ("none", "quarantine", "reject"):
        return [_verdict("dmarc", Level.FAIL, f"The record at _dmarc.{place} has no policy.", "Add p=none.")]
    return [_alignment(sender, place, policy)]


async def _policy(domain: str, lookup: Lookup) -> tuple[str, list[str]]:
    """The nearest record, of the domain itself or one of its parents."""
    for place in parents(domain):
        if records := dmarc_records(await lookup.txt(f"_dmarc.{place}")):
            return place, records
    return domain, []


def _alignment(sender: Sender, place: str, policy: dict[str, str]) -> Verdict:
    organisation = place if place.count(".") or place == sender.domain else sender.domain
    by_dkim = any(
        is_aligned(key.domain, sender.domain, organisation, strict=policy.get("adkim") == "s")
        for key in sender.keys
    )
    strict = policy.get("aspf") == "s"
    by_spf = is_aligned(sender.envelope_domain, sender.domain, organisation, strict=strict)
    said = f"DMARC policy p={policy['p'].lower()} at _dmarc.{place}"
    if by_dkim:
        return _verdict("dmarc", Level.OK, f"{said}; our signature speaks for {sender.domain}.")
    if by_spf:
        detail = f"{said}; only SPF speaks for {sender.domain}, and forwarded mail loses that."
        return _verdict("dmarc", Level.WARN, detail, f"Sign for {sender.domain} too.")
    detail = f"{said}; neither a signature nor the envelope ({sender.envelope_domain}) speaks for it."
    return _verdict(
        "dmarc", Level.FAIL, detail, f"Sign for {sender.domain}, or take a bounce domain below it."
    )


async def _bounce_domain(sender: Sender, lookup: Lookup) -> list[Verdict]:
    if not sender.bounce_domain:
        return []
    hosts = await lookup.mx(sender.bounce_domain)
    if hosts and hosts != [""]:
        return [_verdict("bounce_domain", Level.OK, f"Bounces to {sender.bounce_domain} go to {hosts[0]}.")]
    detail = f"{sender.bounce_domain} has no MX record: bounces do not find their way back."
    return [_verdict("bounce_domain", Level.FAIL, detail, "Publish an MX record that leads to the listener.")]


async def _host_name(sender: Sender, lookup: Lookup) -> list[Verdict]:
    """Whether our name in EHLO leads to an address, and that back to the name."""
    name = sender.ehlo_name.lower()
    if "." not in name:
        detail = f"We greet relays as {name or 'nobody'}."
        return [
            _verdict("host_name", Level.WARN, detail, "Set POSTWERK_EHLO_NAME to this machine's full name.")
        ]
    addresses = await lookup.addresses(name)
    if not addresses:
        detail = f"We greet relays as {name}, which has no address."
        return [
            _verdict("host_name", Level.FAIL, detail, "Publish its address, or correct POSTWERK_EHLO_NAME.")
        ]
    for address in addresses:
        if name not in await lookup.names_of(address):
            advice = f"Have the owner of the network set its reverse name to {name}."
            return [
                _verdict("host_name", Level.WARN, f"{address} of {name} does not point back to it.", advice)
            ]
    return [_verdict("host_name", Level.OK, f"{name} and {', '.join(addresses)} point to each other.")]


async def _public_url(sender: Sender, lookup: Lookup) -> list[Verdict]:
    if not sender.public_url:
        advice = "Set POSTWERK_PUBLIC_URL, or give `list_unsubscribe` a url of your own."
        return [
            _verdict("public_url", Level.WARN, "There is no public address for links to unsubscribe.", advice)
        ]
    url = urlsplit(sender.public_url)
    if url.scheme != "https":
        detail = f"Links to unsubscribe begin with {sender.public_url}; one click needs https:// (RFC 8058)."
        return [_verdict("public_url", Level.WARN, detail, "Put a server with TLS in front, and name that.")]
    host = url.hostname or ""
    if not _is_address(host) and not await lookup.addresses(host):
        detail = f"Links to unsubscribe lead to {host}, which has no address."
        return [_verdict("public_url", Level.FAIL, detail, "Publish its address.")]
    return [_verdict("public_url", Level.OK, f"Links to unsubscribe lead to {sender.public_url}.")]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
