"""Which commands there are. Their modules are imported when called, so that --help answers at once."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from postwerk.errors import PostwerkError

_CANNOT = 2
"""Exit code when a setting, an argument or the surroundings make it impossible."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, what it does in one sentence, and the module whose `run(arguments)` does it."""

    name: str
    help: str
    module: str
    options: Callable[[argparse.ArgumentParser], None] | None = None


def _house_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="where everything is kept (./data)"
    )


def _demo_options(parser: argparse.ArgumentParser) -> None:
    _house_options(parser)
    parser.add_argument(
        "--recipients", type=int, default=1000, metavar="N", help="how many to send to (1000)"
    )
    parser.add_argument("--once", action="store_true", help="end when all is accounted for")


COMMANDS = [
    Command(
        "demo",
        "Run everything and send 1,000 mails to the sandbox.",
        "postwerk.cli.demo",
        _demo_options,
    ),
    Command(
        "dev",
        "Run everything on this machine: Temporal, sandbox, API and worker.",
        "postwerk.cli.dev",
        _house_options,
    ),
    Command("migrate", "Bring the archive's schema up to date.", "postwerk.cli.migrate"),
    Command("check-settings", "Show the effective settings, secrets hidden.", "postwerk.cli.check_settings"),
]


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code is 2 when it cannot be done as asked."""
    given = build_parser().parse_args(arguments)
    command: Command = given.command
    try:
        # Whatever went wrong is said in one line; a traceback is for errors nobody foresaw.
        return int(importlib.import_module(command.module).run(given))
    except PostwerkError as error:
        print(f"postwerk {command.name}: {error}", file=sys.stderr)
        return _CANNOT
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m postwerk",
        description="Postwerk delivers bulk mail: one durable workflow for each bulk send.",
        epilog="A worker is `python -m worker`, the API `python -m uvicorn --factory api.app:create_app`.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.help, description=command.help)
        one.set_defaults(command=command)
        if command.options:
            command.options(one)
    return parser
