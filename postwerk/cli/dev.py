"""`python -m postwerk dev`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from postwerk.archive.engine import parse_database_url
from postwerk.dev.house import House, Wishes, plan_house
from postwerk.dev.ports import Ports
from postwerk.dev.screen import say_addresses, say_moved
from postwerk.dev.stopping import StopSignals
from postwerk.dev.supervisor import Interrupted, PartFailed, Supervisor
from postwerk.settings import Settings, load_settings

_INTERRUPTED = 130
"""As shells count it: ended by Ctrl-C before it was done."""


def run(given: argparse.Namespace) -> int:
    """Start everything and stay up; exit code 0 after Ctrl-C, 1 when a part failed."""
    wishes, ports = wishes_of(given, load_settings()), Ports()
    house = plan_house(wishes, ports)
    say_moved(ports)
    _say_what_is_yours(wishes)
    return supervised(house, _stay)


def supervised(house: House, work: Callable[[Supervisor], int]) -> int:
    """Start the house, do `work` in it, and stop it, whatever happens."""
    signals = StopSignals()
    print(f"Starting in {house.data} (logs in {house.data / 'logs'}) ...", flush=True)
    try:
        with Supervisor(
            house, told_to_stop=signals.told_to_stop, told_to_hurry=signals.told_to_hurry
        ) as supervisor:
            code = _until_interrupted(supervisor, work)
            print("Stopping ...", flush=True)
    except PartFailed as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    print("Stopped.", flush=True)
    return code


def _until_interrupted(supervisor: Supervisor, work: Callable[[Supervisor], int]) -> int:
    try:
        supervisor.start()
        return work(supervisor)
    except Interrupted:
        return _INTERRUPTED


def _stay(supervisor: Supervisor) -> int:
    say_addresses(supervisor.house)
    supervisor.stay()
    return 0


def wishes_of(given: argparse.Namespace, settings: Settings) -> Wishes:
    """What the user has set is used instead of a part of ours. Raises ConfigurationError."""
    relay_url = settings.relay_url.get_secret_value()
    if relay_url:
        settings.relay()
    database_url = ""
    if "database_url" in settings.model_fields_set:
        database_url = settings.database_url.get_secret_value()
        parse_database_url(database_url)
    return Wishes(
        data=given.data,
        relay_url=relay_url,
        database_url=database_url,
        temporal_address=os.environ.get("TEMPORAL_ADDRESS", ""),
        temporal_ui_url=settings.temporal_ui_url,
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
        bounce_domain=settings.bounce_domain,
    )


def _say_what_is_yours(wishes: Wishes) -> None:
    if wishes.relay_url:
        print("Your relay of POSTWERK_RELAY_URL is used: THIS SENDS REAL MAIL. No sandbox is started.")
    if wishes.database_url:
        print("Your database of POSTWERK_DATABASE_URL is used.")
    if wishes.temporal_address:
        print(f"Your Temporal server at {wishes.temporal_address} is used.")
