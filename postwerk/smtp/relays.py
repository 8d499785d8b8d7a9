"""Several relays, as one setting names them: `backup=smtp://host:25,bulk=smtps://user:password@host`."""

from __future__ import annotations

import re
from typing import Any

from postwerk.contracts.options import DEFAULT_RELAY
from postwerk.errors import ConfigurationError
from postwerk.smtp.relay import SETTING as ONE_SETTING
from postwerk.smtp.relay import RelayConfig

SETTING = "POSTWERK_RELAYS"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?")
_BETWEEN = re.compile(r"[,\n]")


def read_relays(written: str, **common: Any) -> tuple[RelayConfig, ...]:
    """The relays in their order; `common` are fields that all of them share.

    Raises ConfigurationError naming the entry by its number: a comma that is part of a password makes two
    entries of one, so nothing of an entry that cannot be read is shown.
    """
    entries = [entry.strip() for entry in _BETWEEN.split(written) if entry.strip()]
    relays = tuple(_read_entry(number, entry, common) for number, entry in enumerate(entries, 1))
    _insist_on_different_names(relays)
    return relays


def shown_relay(relay: RelayConfig) -> str:
    """An entry as people may read it: without the password."""
    user = f"{relay.username}:***@" if relay.username else ""
    host = f"[{relay.host}]" if ":" in relay.host else relay.host
    return f"{relay.name}={relay.scheme}://{user}{host}:{relay.port}"


def _read_entry(number: int, entry: str, common: dict[str, Any]) -> RelayConfig:
    name, equals, url = entry.partition("=")
    if not equals or not _NAME.fullmatch(name.strip()):
        raise _wrong(
            number,
            "does not begin with a name of letters, digits and -, and `=`; write it like "
            "backup=smtp://host:25, with commas in a password as %2C",
        )
    try:
        return RelayConfig.from_url(url, name=name.strip(), **common)
    except ConfigurationError as error:
        raise _wrong(number, error.message.removeprefix(ONE_SETTING).strip()) from None


def _insist_on_different_names(relays: tuple[RelayConfig, ...]) -> None:
    seen = {DEFAULT_RELAY}
    for number, relay in enumerate(relays, 1):
        name = relay.name.lower()
        if name == DEFAULT_RELAY:
            raise _wrong(number, f"is named {DEFAULT_RELAY}; that is the relay of {ONE_SETTING}")
        if name in seen:
            raise _wrong(number, f"has the name {relay.name} a second time")
        seen.add(name)


def _wrong(number: int, what: str) -> ConfigurationError:
    return ConfigurationError(f"{SETTING}, entry {number}: {what}")
