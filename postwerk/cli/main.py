"""Which commands there are. Their modules are imported when called, so that --help answers at once."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from postwerk.cli.client.options import add_place
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
    """Left out for an operator's command: its module's `add_options` says them, once it is called."""
    of_operator: bool = False
    own_options: bool = False
    """Its module's `add_options` says them, though it is no operator's command."""


class LazyParser(argparse.ArgumentParser):
    """A command's parser that learns its options when it is used: the other commands cost no time."""

    fill: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        self.filled()
        return super().parse_known_args(args, namespace)

    def filled(self) -> None:
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)


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


def _api_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="ADDRESS", help="listen there (POSTWERK_API_HOST; 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="on this port (POSTWERK_API_PORT; 8000)")
    parser.add_argument("--uds", metavar="PATH", help="listen on a Unix socket instead")
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="of the server (info)",
    )
    parser.add_argument(
        "--no-access-log", dest="access_log", action="store_false", help="no line for each call"
    )


def _keys_options(parser: argparse.ArgumentParser) -> None:
    importlib.import_module("postwerk.cli.keys_options").add_options(parser)


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
    Command("api", "Run the API.", "postwerk.cli.api", _api_options),
    Command("keys", "API keys: make, list, rotate, change, revoke.", "postwerk.cli.keys", _keys_options),
    Command("migrate", "Bring the archive's schema up to date.", "postwerk.cli.migrate"),
    Command("check-settings", "Show the effective settings, secrets hidden.", "postwerk.cli.check_settings"),
    Command(
        "dkim", "Keys that sign mail: make one, show what to publish.", "postwerk.cli.dkim", own_options=True
    ),
    Command(
        "doctor", "Is a domain ready to send from? SPF, DKIM, DMARC.", "postwerk.cli.doctor", own_options=True
    ),
    *(
        Command(name, help, f"postwerk.cli.commands.{name}", of_operator=True)
        for name, help in (
            ("send", "Send a mail to many, from files or a campaign file."),
            ("message", "One transactional mail: send, list, show."),
            ("bulk", "Bulk sends: list, watch, pause, change, cancel."),
            ("schedules", "Bulk sends that are sent again and again."),
            ("queue", "Open messages: find them, count them, retry, hold, cancel."),
            ("lanes", "Lanes: who rests and why, limits, rests."),
            ("relay", "The server that takes our mail: how it does; rest, resume."),
            ("suspend", "Send nothing to a domain or a provider for a while."),
            ("suppressions", "The suppression list: addresses that get no mail."),
            ("templates", "Contents by name, in versions: list, show, put, render."),
            ("inbound", "Take in mail that comes back; list what came."),
            ("webhooks", "Who is told of events: add, test, replay, see how it goes."),
            ("audit", "Who did what, when and why."),
            ("events", "What happened, and what happens, as it does."),
            ("operations", "Operations on many messages: how far they are."),
            ("top", "Everything at a glance, live."),
            ("completion", "Completion for bash, zsh or fish."),
        )
    ),
]


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code is 2 when it cannot be done as asked (docs/cli.md has the others)."""
    try:
        # Whatever went wrong is said in one line; a traceback is for errors nobody foresaw.
        return _run(build_parser().parse_args(arguments))
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace) -> int:
    command: Command = given.command
    module = "postwerk.cli.client.running" if command.of_operator else command.module
    try:
        return int(importlib.import_module(module).run(given))
    except PostwerkError as error:
        from postwerk.cli.client.terminal import safe

        print(f"postwerk {command.name}: {safe(error)}", file=sys.stderr)
        return int(getattr(error, "exit_code", _CANNOT))


def build_parser(prog: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog or _called_as(),
        description="Postwerk delivers bulk mail: one durable workflow for each bulk send.",
        epilog="A worker is `python -m worker`, the API `python -m postwerk api`.",
    )
    add_place(parser)
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", title="commands", parser_class=LazyParser
    )
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.help, description=command.help)
        one.set_defaults(command=command)
        one.fill = command.options or (
            _options_of(command) if command.of_operator or command.own_options else None
        )
    return parser


def full_parser(prog: str) -> argparse.ArgumentParser:
    """The same with every option of every command, for completion and for the documentation's test."""
    parser = build_parser(prog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                one.filled()
    return parser


def _options_of(command: Command) -> Callable[[argparse.ArgumentParser], None]:
    def fill(parser: argparse.ArgumentParser) -> None:
        importlib.import_module(command.module).add_options(parser)

    return fill


def _called_as() -> str:
    return "python -m postwerk" if sys.argv[0].endswith("__main__.py") else "postwerk"
