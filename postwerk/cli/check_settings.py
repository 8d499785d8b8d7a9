"""`python -m postwerk check-settings`: what the processes would work with, secrets hidden."""

from __future__ import annotations

import argparse
import os
import re
import sys

from pydantic import SecretStr

from postwerk.archive.engine import parse_database_url
from postwerk.settings import Settings, load_settings
from postwerk.smtp.relays import shown_relay

_PREFIX = "POSTWERK_"
_PASSWORD = re.compile(r"(://[^/:@]*):.*@")
_OF_THE_COMMAND_LINE = {"POSTWERK_API_URL", "POSTWERK_API_KEY", "POSTWERK_API_KEY_FILE", "POSTWERK_USER"}
"""Where the operator's commands call (docs/cli.md); no process of the installation reads them."""
_TEMPORAL_SECRETS = ("KEY", "DATA")


def run(_given: argparse.Namespace) -> int:
    """Print every setting. Raises ConfigurationError naming the first variable that cannot be used."""
    settings = load_settings()
    parse_database_url(settings.database_url.get_secret_value())
    settings.retry_schedule()
    if settings.relay_url.get_secret_value():
        settings.relay()
    settings.further_relays()
    settings.signing_keys().load()
    settings.bounce_address_domain()
    settings.temporal_metrics()
    for line in [*setting_lines(settings), *_temporal_lines()]:
        print(line)
    for name in unknown_names():
        print(f"postwerk check-settings: {name} is no setting of Postwerk; it is ignored", file=sys.stderr)
    return 0


def setting_lines(settings: Settings) -> list[str]:
    """NAME=value for each setting; what was set by hand is marked, a password is not shown."""
    return [
        f"{_PREFIX}{name.upper()}={_shown_setting(settings, name)}"
        + ("" if name in settings.model_fields_set else "   (default)")
        for name in Settings.model_fields
    ]


def _shown_setting(settings: Settings, name: str) -> str:
    """Several relays in one value have several passwords."""
    if name == "relays":
        return ",".join(shown_relay(relay) for relay in settings.further_relays())
    return shown(getattr(settings, name))


def shown(value: object) -> str:
    """A value as people may read it."""
    if isinstance(value, SecretStr):
        return _PASSWORD.sub(r"\1:***@", value.get_secret_value())
    return "" if value is None else str(value)


def unknown_names() -> list[str]:
    """Environment variables that look like settings and are none: probably misspelt."""
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | _OF_THE_COMMAND_LINE
    return sorted(
        name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in known
    )


def _temporal_lines() -> list[str]:
    """The SDK reads these itself; they are shown because they decide where the work goes."""
    given = {"TEMPORAL_ADDRESS": "localhost:7233   (default)", "TEMPORAL_NAMESPACE": "default   (default)"}
    given |= {name: value for name, value in sorted(os.environ.items()) if name.startswith("TEMPORAL_")}
    return [f"{name}={'***' if name.endswith(_TEMPORAL_SECRETS) else value}" for name, value in given.items()]
