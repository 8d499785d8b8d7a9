"""`postwerk queue count`: how many open messages match."""

from __future__ import annotations

import argparse

from postwerk.cli.client.counting import in_words, number_of
from postwerk.cli.client.filters import filter_of
from postwerk.cli.client.http import Api
from postwerk.cli.client.moments import tell_if_old
from postwerk.cli.client.output import print_json


def run(given: argparse.Namespace, api: Api) -> int:
    found = api.get("/v1/queue/count", filter_of(given))
    if given.json:
        print_json(found)
        return 0
    words = in_words(found["states"])
    print(number_of(found["count"], "open message") + (f": {words}" if words else ""))
    tell_if_old(found)
    return 0
