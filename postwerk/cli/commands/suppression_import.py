"""`postwerk suppressions import`: a CSV file of any length."""

from __future__ import annotations

import argparse
import time

from postwerk.cli.client.http import Api
from postwerk.cli.client.lists import opened
from postwerk.cli.client.output import print_json
from postwerk.cli.client.uploading import Uploaded, tell_refused, upload


def run(given: argparse.Namespace, api: Api) -> int:
    """1 when rows were refused; the others are listed."""
    total = Uploaded()
    with opened(given.file, "csv", given.charset) as found:
        upload(api, "/v1/suppressions", found, total, time.sleep)
    tell_refused(total)
    added, known, rejected = (total.numbers.get(name, 0) for name in ("added", "known", "rejected"))
    if given.json:
        counted = {"added": added, "known": known, "rejected": rejected}
        more = {"errors": total.errors, "errors_truncated": total.errors_truncated}
        print_json({"object": "suppressions_taken", **counted, **more})
    else:
        print(f"{added:,} added, {known:,} listed before, {rejected:,} refused.")
    return 1 if rejected else 0
