"""`postwerk completion`: a script that teaches the shell our commands and options."""

from __future__ import annotations

import argparse

from postwerk.cli.client.http import Api
from postwerk.cli.client.options import ready

SHELLS = ("bash", "zsh", "fish")


def add_options(parser: argparse.ArgumentParser) -> None:
    ready(parser, show, json=False)
    parser.add_argument("shell", choices=SHELLS)


def show(given: argparse.Namespace, _api: Api) -> int:
    import shtab

    from postwerk.cli.main import full_parser  # it names this file, and is needed in full only here

    print(shtab.complete(full_parser("postwerk"), shell=given.shell))
    return 0
