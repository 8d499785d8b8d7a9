"""`postwerk top`: the queue, the bulk sends under way and the lanes at a glance, again and again."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Any

from postwerk.cli.client.counting import in_words
from postwerk.cli.client.http import Api
from postwerk.cli.client.moments import until
from postwerk.cli.client.options import add_relay, ready
from postwerk.cli.client.output import print_json, print_json_line
from postwerk.cli.client.tables import columns, table
from postwerk.cli.client.terminal import is_terminal, room, shortened
from postwerk.cli.commands import bulk_read, lane_work

_EVERY_SECONDS = 2.0
_UNDER_WAY = ("running", "paused", "queued", "open", "cancelling")
_MOST_SENDS, _MOST_LANES = 8, 12
_SEND_HEADS = columns("state", "~name", ">done", ">of", ">failed", ">rate/s", ">left", "~waits for")
_ENTER, _LEAVE, _HOME = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H"


def add_options(parser: argparse.ArgumentParser) -> None:
    ready(parser, run)
    add_relay(parser, default=None)
    parser.add_argument("--once", action="store_true", help="show it once, and end")


def run(given: argparse.Namespace, api: Api) -> int:
    if given.once:
        _print(given, seen(api, given.relay))
        return 0
    if is_terminal() and not given.json:
        return _live(api, given.relay)
    while True:
        _print(given, seen(api, given.relay))
        time.sleep(_EVERY_SECONDS)


def _print(given: argparse.Namespace, found: dict[str, Any]) -> None:
    if given.json:
        (print_json if given.once else print_json_line)(found)
    else:
        print("\n".join(lines(found, room())), "\n" * (not given.once), sep="", flush=True)


def _live(api: Api, relay: str | None) -> int:
    """On the terminal's other screen, so that the first one is as it was afterwards."""
    print(_ENTER, end="")
    try:
        while True:
            size = get_terminal_size()
            shown = [shortened(line, size.columns) for line in lines(seen(api, relay), size.columns)]
            drawn = "".join(f"{line}\x1b[K\n" for line in shown[: size.lines - 1])
            print(f"{_HOME}{drawn}\x1b[J", end="", flush=True)
            time.sleep(_EVERY_SECONDS)
    except KeyboardInterrupt:
        return 0  # how one leaves it
    finally:
        print(_LEAVE, end="", flush=True)


def seen(api: Api, relay: str | None) -> dict[str, Any]:
    """What it shows, as one document: also the answer of `--json`."""
    sends = api.get("/v1/bulk-sends", {"state": list(_UNDER_WAY), "limit": _MOST_SENDS})
    lanes = api.get("/v1/lanes", {"limit": _MOST_LANES, "relay": relay})
    return {
        "object": "top",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "queue": api.get("/v1/queue/count"),
        "bulk_sends": sends["data"],
        "relay": lanes["relay"],
        "lanes": lanes["data"],
    }


def lines(found: dict[str, Any], wide: int | None) -> list[str]:
    """The picture, as lines."""
    queue = found["queue"]
    rate = sum(view["rate_now"] or 0 for view in found["bulk_sends"])
    return [
        f"Postwerk at {found['at']}  {lane_work.relay_line(found['relay'])}",
        f"{queue['count']:,} open ({in_words(queue['states']) or 'nothing to do'}), {rate:,.1f}/s",
        "",
        *table(_SEND_HEADS, map(_send_row, found["bulk_sends"]), wide),
        "",
        *table(lane_work.HEADS, map(lane_work.row, found["lanes"]), wide),
    ]


def _send_row(view: dict[str, Any]) -> list[object]:
    _, state, name, done, accepted, failed, _ = bulk_read.row(view)
    rate = f"{view['rate_now']:,.1f}" if view["rate_now"] else ""
    left = until(datetime.now(UTC), view["eta"])
    return [state, name, done, accepted, failed, rate, left, (view["waits_for"] or {}).get("detail")]
