"""Domains of senders: what DNS says about them, and the way out where it does not fit."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.dependencies import Parts, UseParts
from api.domain_schemas import DomainCheck
from api.errors import Unavailable
from api.parameters import only_parameters
from api.problem_schemas import problems
from postwerk.domains.doctor import Sender, examine
from postwerk.domains.lookup import Lookup
from postwerk.errors import ConfigurationError, InvalidRequest
from postwerk.rules.addresses import parse_address

router = APIRouter(prefix="/v1/domains", tags=["domains"])


@router.get("/{domain}/check", response_model=DomainCheck, responses=problems(422, 503))
async def check(request: Request, parts: UseParts, domain: str) -> DomainCheck:
    """Is it ready to send from? SPF, DKIM, DMARC, MX, the bounce domain, our host name, the public address.

    Asks DNS; takes ten seconds at most.
    """
    only_parameters(request)
    try:
        lookup = Lookup(parts.config.dns_server)
    except ConfigurationError as error:
        raise Unavailable(error.message) from error
    report = await examine(_sender(parts, domain_of(domain)), lookup)
    return DomainCheck(domain=report.domain, level=report.level, verdicts=list(report.verdicts))


def domain_of(text: str) -> str:
    """In normal form. Raises InvalidRequest."""
    try:
        return parse_address(f"x@{text}").rpartition("@")[2]
    except InvalidRequest as error:
        raise InvalidRequest("This is no domain name.", pointer="#/domain", code="invalid_domain") from error


def _sender(parts: Parts, domain: str) -> Sender:
    config = parts.config
    return Sender(
        domain=domain,
        keys=parts.signing_keys.of(domain),
        bounce_domain=config.bounce_domain,
        relay_host=config.relay_server.rpartition(":")[0],
        ehlo_name=config.ehlo_name,
        public_url=config.public_url,
    )
