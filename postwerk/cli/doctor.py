"""`postwerk doctor`: is a domain ready to send from?"""

from __future__ import annotations

import argparse
import asyncio
import json

from postwerk.contracts.domains import DomainReport, Level
from postwerk.domains.doctor import Sender, examine
from postwerk.domains.lookup import Lookup
from postwerk.errors import ConfigurationError, InvalidRequest
from postwerk.rules.addresses import parse_address
from postwerk.settings import Settings, load_settings

_CODE = {Level.OK: 0, Level.WARN: 1, Level.FAIL: 2}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", help="of From addresses")
    parser.add_argument("--server", metavar="HOST[:PORT]", help="DNS server, instead of POSTWERK_DNS_SERVER")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(given: argparse.Namespace) -> int:
    """0 when all is well, 1 with warnings, 2 when something fails."""
    settings = load_settings()
    sender = sender_by(settings, given.domain)
    report = asyncio.run(examine(sender, Lookup(given.server or settings.dns_server)))
    if given.json:
        print(json.dumps({**report.model_dump(mode="json"), "level": report.level.value}))
    else:
        _print(report)
    return _CODE[report.level]


def sender_by(settings: Settings, domain: str) -> Sender:
    """The domain with what the settings say. Raises ConfigurationError."""
    try:
        domain = parse_address(f"x@{domain}").rpartition("@")[2]
    except InvalidRequest as error:
        raise ConfigurationError(f"{domain!r} is no domain: {error.message}") from error
    keys = settings.signing_keys()
    keys.load()
    return Sender(
        domain=domain,
        keys=keys.of(domain),
        bounce_domain=settings.bounce_address_domain(),
        relay_host=settings.relay().host if settings.relay_url.get_secret_value() else "",
        ehlo_name=settings.ehlo_name,
        public_url=settings.public_url,
    )


def _print(report: DomainReport) -> None:
    for verdict in report.verdicts:
        print(f"{verdict.level:<4}  {verdict.check:<13}  {verdict.detail}")
        if verdict.advice:
            print(f"{'':21}{verdict.advice}")
