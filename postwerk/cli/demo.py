"""`python -m postwerk demo`: everything on this machine, and 1,000 mails through it."""

from __future__ import annotations

import argparse
import os
import sys

from postwerk.cli.dev import supervised
from postwerk.dev.demo import Result, links, send_demo
from postwerk.dev.demo_mail import GREYLIST_SECONDS
from postwerk.dev.house import House, Wishes, plan_house
from postwerk.dev.ports import Ports
from postwerk.dev.screen import say_moved
from postwerk.dev.supervisor import Supervisor

_LIMIT_SECONDS = 120.0
_NOT_FOR_A_DEMO = ("POSTWERK_RELAY_URL", "POSTWERK_DATABASE_URL", "TEMPORAL_ADDRESS")


def run(given: argparse.Namespace) -> int:
    """Exit code 0 when every message is accounted for, else 1; in a terminal it stays up until Ctrl-C."""
    for name in _NOT_FOR_A_DEMO:
        if os.environ.get(name):
            # Invented mail must not reach a real server, nor the workers of a real installation.
            print(f"The demo uses its own; {name} is left alone.")
    ports = Ports()
    wishes = Wishes(data=given.data, sandbox_options=("--greylist-seconds", str(GREYLIST_SECONDS)))
    house = plan_house(wishes, ports)
    say_moved(ports)
    stays = sys.stdout.isatty() and not given.once

    def send(supervisor: Supervisor) -> int:
        print(f"Sending {given.recipients:,} mails to the sandbox; some addresses are difficult on purpose.")
        result = send_demo(supervisor, given.recipients, _LIMIT_SECONDS)
        _tell(house, result)
        if stays:
            supervisor.stay()
        return 0 if result.accounted_for and result.sandbox_agrees else 1

    return supervised(house, send)


def _tell(house: House, result: Result) -> None:
    """The totals, whether the sandbox agrees, and where to look."""
    total = " + ".join(f"{number:,} {state}" for state, number in result.counts.items() if number)
    verdict = "all accounted for" if result.accounted_for else "NOT ALL ACCOUNTED FOR"
    print(f"{total} = {result.accepted:,} accepted: {verdict} after {result.seconds:.1f} s.")
    delivered = result.counts.get("delivered", 0)
    agrees = "the API says the same" if result.sandbox_agrees else f"BUT THE API SAYS {delivered:,}"
    print(f"The sandbox took {result.sandbox_took:,} mails, {agrees}.")
    print("\n".join(f"  {name:<16} {address}" for name, address in links(house, result)), flush=True)
