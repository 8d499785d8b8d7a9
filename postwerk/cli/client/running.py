"""Runs one of the operator's commands: finds the API, and says in one line what went wrong."""

from __future__ import annotations

import argparse
import io
import os
import sys

from postwerk.cli.client.options import api_of


def run(given: argparse.Namespace) -> int:
    """The exit code of the command. Raises CommandFailed, KeyboardInterrupt."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding does not have must not end a command half-way.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = int(given.work(given, api_of(given)))
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return 0
    return code


def _forget_output() -> None:
    """Whoever reads us has seen enough (`| head`): the interpreter must not try to write the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
