"""`postwerk dkim`: make keys that sign, and show what to publish of them."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from postwerk.errors import ConfigurationError, InvalidRequest
from postwerk.mime.dkim_keys import DkimKey, DkimKeys, new_key
from postwerk.rules.addresses import parse_address
from postwerk.settings import load_settings

_STRING = 255
"""Octets of one string in a TXT record (RFC 1035 3.3.14)."""


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do", dest="what")
    create = commands.add_parser("create", help="Make a key and say what to publish.")
    create.add_argument("domain", metavar="DOMAIN")
    create.add_argument("--selector", metavar="NAME", help="the key's name in DNS (pw and the month)")
    create.add_argument("--algorithm", choices=("rsa", "ed25519"), default="rsa", help="rsa (2048 bits)")
    show = commands.add_parser("show", help="What to publish of the keys there are.")
    show.add_argument("domain", nargs="?", metavar="DOMAIN", help="of this domain alone")
    for one in (create, show):
        one.add_argument("--keys", type=Path, metavar="DIR", help="instead of POSTWERK_DKIM_KEYS")


def run(given: argparse.Namespace) -> int:
    """Raises ConfigurationError when there is no folder, or a key cannot be used or would be lost."""
    folder = given.keys or Path(load_settings().dkim_keys)
    if folder == Path():
        raise ConfigurationError("name the folder of the keys: POSTWERK_DKIM_KEYS or --keys")
    if given.what == "create":
        return _create(folder, _domain(given.domain), given.selector, given.algorithm)
    return _show(folder, _domain(given.domain) if given.domain else "")


def _create(folder: Path, domain: str, selector: str | None, algorithm: str) -> int:
    key, pem = new_key(domain, selector or f"pw{datetime.now(UTC):%Y%m}", algorithm)
    path = folder / domain / f"{key.selector}.pem"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already; choose another --selector") from None
    except OSError as error:
        raise ConfigurationError(f"the key cannot be written: {error}") from error
    print(f"{path} is written; mail from {domain} is signed with it within seconds.")
    print("Publish first:\n")
    _print_record(key)
    return 0


def _show(folder: Path, domain: str) -> int:
    for key in DkimKeys(folder).load():
        if domain in ("", key.domain):
            _print_record(key)
    return 0


def _print_record(key: DkimKey) -> None:
    """As a line of a zone file; web forms take what stands between the quotes."""
    record = key.record
    strings = " ".join(f'"{record[at : at + _STRING]}"' for at in range(0, len(record), _STRING))
    print(f"{key.record_name}. IN TXT {strings}")


def _domain(given: str) -> str:
    try:
        return parse_address(f"x@{given}").rpartition("@")[2]
    except InvalidRequest as error:
        raise ConfigurationError(f"{given!r} is no domain: {error.message}") from error
