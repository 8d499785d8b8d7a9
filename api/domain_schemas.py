"""What callers get about a domain."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from postwerk.contracts.domains import Level, Verdict


class DomainCheck(BaseModel):
    """Whether a domain is ready to send from: `verdicts` one by one, `level` the worst of them."""

    object: Literal["domain_check"] = "domain_check"
    domain: str
    level: Level
    verdicts: list[Verdict]
