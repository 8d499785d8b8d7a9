"""Providers on a bad day: the rules by recipient domain that hold right now."""

from __future__ import annotations

import random
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postwerk.errors import ConfigurationError
from postwerk.sandbox.domain_rule import EVERY_DOMAIN, DomainRule, RuleError, read_domain, read_rule
from postwerk.sandbox.rate import Bucket


@dataclass(slots=True)
class _Standing:
    """A rule since it was set: its rate's bucket, and how often it was met."""

    rule: DomainRule
    met: int = 0
    _bucket: Bucket | None = field(init=False)

    def __post_init__(self) -> None:
        self._bucket = Bucket(self.rule.rate) if self.rule.rate else None

    def strikes(self) -> bool:
        """Whether this one meets the rule: it is above the rate, and chance takes it."""
        if self._bucket is not None and self._bucket.take(time.monotonic()):
            return False
        if self.rule.share < 1 and random.random() >= self.rule.share:
            return False
        self.met += 1
        return True


class Domains:
    """At most one rule for each domain and one for `*`; they can change while mail comes in."""

    def __init__(self, rules: Mapping[str, DomainRule]) -> None:
        self.standing = {domain: _Standing(rule) for domain, rule in rules.items()}
        """By domain. Always this very dict: a session sees at a glance that there are none."""

    def at(self, stage: str, recipient: str = "") -> DomainRule | None:
        """The rule this client meets at `stage` of a mail to `recipient` (empty before RCPT), if any.

        A domain's own rule for the stage decides alone; only without one does the rule for `*`.
        """
        for domain in (recipient.rpartition("@")[2].lower(), EVERY_DOMAIN):
            standing = self.standing.get(domain)
            if standing is not None and standing.rule.stage == stage:
                return standing.rule if standing.strikes() else None
        return None

    def set(self, domain: str, rule: DomainRule) -> None:
        """Put a rule in place of the domain's present one; its rate and its count begin anew."""
        self.standing[domain] = _Standing(rule)

    def remove(self, domain: str) -> bool:
        """True when there was a rule."""
        return self.standing.pop(domain, None) is not None

    def clear(self) -> None:
        self.standing.clear()

    def told(self) -> dict[str, dict[str, Any]]:
        """Each rule as JSON tells it, and how often it was met since it was set."""
        return {
            domain: standing.rule.told() | {"met": standing.met} for domain, standing in self.standing.items()
        }


def load_rules(path: Path) -> dict[str, DomainRule]:
    """Read rules from a TOML file, a table for each domain. Raises ConfigurationError."""
    try:
        written = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the domain rules in {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from error
    return dict(_rule_in(path, name, fields) for name, fields in written.items())


def _rule_in(path: Path, name: str, fields: object) -> tuple[str, DomainRule]:
    try:
        domain = read_domain(name)
        return domain, read_rule(domain, fields)
    except RuleError as error:
        raise ConfigurationError(f'{path}: ["{name}"] {error}') from error
