"""Options that several commands take, and who is speaking to which API."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from importlib import import_module

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where `python -m postwerk dev` puts it."""
LONGEST_USER = 100
_LONGEST_KEY = 1000

Work = Callable[[argparse.Namespace, Api], int]
"""What a command does; answers its exit code."""


def add_place(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """--api, --user, --api-key-file, before the command or after it: only the first parser has a default."""
    kept = argparse.SUPPRESS if default == argparse.SUPPRESS else None
    place = parser.add_argument_group("where and who")
    place.add_argument(
        "--api",
        metavar="URL",
        default=kept,
        help=f"the API (POSTWERK_API_URL; {DEFAULT_URL})",
    )
    place.add_argument(
        "--user",
        metavar="NAME",
        default=kept,
        help="who is told to have done it (POSTWERK_USER; login@host)",
    )
    place.add_argument(
        "--api-key-file",
        metavar="FILE",
        default=kept,
        help="the API key is in this file (POSTWERK_API_KEY_FILE; else POSTWERK_API_KEY itself)",
    )


Subparsers = argparse._SubParsersAction  # argparse has no public name for it


def leaf(
    commands: Subparsers[argparse.ArgumentParser], name: str, help: str, work: Work, *, json: bool = True
) -> argparse.ArgumentParser:
    """A command that does something: `work` is called with what was given."""
    parser = commands.add_parser(name, help=help, description=help)
    return ready(parser, work, json=json)


def ready(parser: argparse.ArgumentParser, work: Work, *, json: bool = True) -> argparse.ArgumentParser:
    """The same for a parser that is there already."""
    parser.set_defaults(work=work)
    if json:
        parser.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="for scripts: JSON instead of text"
        )
    add_place(parser, default=argparse.SUPPRESS)
    return parser


def later(module: str, name: str = "run") -> Work:
    """The function `name` of a file of commands that is read when it is called."""

    def work(given: argparse.Namespace, api: Api) -> int:
        return int(getattr(import_module(f"postwerk.cli.commands.{module}"), name)(given, api))

    return work


def add_reason(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "--reason", metavar="TEXT", required=required, help="why, for who looks at it later (audit trail)"
    )


def add_relay(parser: argparse.ArgumentParser, *, default: str | None = argparse.SUPPRESS) -> None:
    """--relay. A parser above has the default."""
    parser.add_argument(
        "--relay",
        metavar="NAME",
        default=default,
        help="which one, where there are several (the default one)",
    )


def add_limit(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument(
        "--limit", type=whole(0), default=default, metavar="N", help=f"so many at most; 0: all ({default})"
    )


def whole(least: int) -> Callable[[str], int]:
    """An option's value: a whole number, `least` or more."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return value

    return number


def pair(text: str) -> tuple[str, str]:
    """An option's value: NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"write NAME=VALUE, not {text!r}")
    return name, value


def api_of(given: argparse.Namespace) -> Api:
    """The API that is meant, by option, environment or default."""
    environment = os.environ
    url = given.api or environment.get("POSTWERK_API_URL") or DEFAULT_URL
    user = given.user or environment.get("POSTWERK_USER") or login()
    if not user.isprintable() or len(user) > LONGEST_USER or not _fits_header(user):
        raise Misused(f"--user: at most {LONGEST_USER} printable characters of Latin-1.")
    return Api(url, user, _key_of(given.api_key_file or environment.get("POSTWERK_API_KEY_FILE", "")))


def _key_of(file: str) -> str:
    """The API key of the file, else of the environment; empty without either. Raises Misused."""
    name, key = file or "POSTWERK_API_KEY", os.environ.get("POSTWERK_API_KEY", "")
    if file:
        try:
            with open(file, encoding="utf-8", errors="replace") as opened:
                key = opened.read(_LONGEST_KEY)
        except OSError as error:
            raise Misused(f"--api-key-file {file}: {error.strerror}.") from error
    key = key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key or (file and not key):
        raise Misused(f"{name} holds no API key.")
    return key


def login() -> str:
    """Who is at this machine, as \"ada@desk\"."""
    from getpass import getuser
    from socket import gethostname

    try:
        name = getuser()
    except (KeyError, OSError):  # a container whose user has no entry in /etc/passwd
        name = str(os.getuid())
    return f"{name}@{gethostname()}"[:LONGEST_USER].encode("latin-1", "replace").decode("latin-1")


def _fits_header(user: str) -> bool:
    """Field values are read as Latin-1 (RFC 9110 5.5)."""
    try:
        user.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
