"""The calls that switch the rules by domain."""

from __future__ import annotations

import orjson

from postwerk.sandbox.domain_rule import RuleError, presets, read_domain, read_rule
from postwerk.sandbox.domains import Domains
from postwerk.sandbox.web import asgi
from postwerk.sandbox.web.asgi import Answer, Request


class RulesApi:
    """Set, list and take back what domains say. A field that is wrong is 422 and named."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains

    async def list(self, _request: Request) -> Answer:
        return asgi.json(self._domains.told())

    async def presets(self, _request: Request) -> Answer:
        return asgi.json(presets())

    async def set(self, request: Request) -> Answer:
        try:
            domain = read_domain(request.caught)
            rule = read_rule(domain, _json(request.body))
        except RuleError as error:
            return asgi.problem(422, str(error))
        self._domains.set(domain, rule)
        return asgi.json(rule.told())

    async def remove(self, request: Request) -> Answer:
        if not self._domains.remove(request.caught.lower()):
            return asgi.problem(404, "this domain has no rule")
        return asgi.done()

    async def clear(self, _request: Request) -> Answer:
        self._domains.clear()
        return asgi.done()


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RuleError(f"body: must be JSON ({error})") from error
