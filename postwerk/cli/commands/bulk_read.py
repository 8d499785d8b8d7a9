"""`postwerk bulk list|show|watch`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.counting import failures, finished, in_words
from postwerk.cli.client.follow import followed_send, took
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import length, shown, since, until
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, facts
from postwerk.cli.client.terminal import by_state, safe

HEADS = columns("id", "state", "~name", ">done", ">of", ">failed", ">age")
_PAGE = 200


def list_all(given: argparse.Namespace, api: Api) -> int:
    query = {"state": given.state or None, "kind": given.kind or None}
    return show_list(api, "/v1/bulk-sends", query, HEADS, row, given, most=_PAGE)


def row(view: dict[str, Any]) -> list[object]:
    counts = view["counts"]
    age = since(datetime.now(UTC), view["created_at"])
    progress = [finished(counts), view["accepted"], failures(counts)]
    return [view["id"], view["state"], view["name"], *progress, age]


def show(given: argparse.Namespace, api: Api) -> int:
    show_send(api.get(f"/v1/bulk-sends/{segment(given.id)}"), as_json=given.json)
    return 0


def show_send(view: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        print_lines(_facts(view, datetime.now(UTC)))


def watch(given: argparse.Namespace, api: Api) -> int:
    return watched(api, given.id, as_json=given.json)


def watched(api: Api, bulk_id: str, *, as_json: bool) -> int:
    """Follow it to its end and say how it went; 1 when not everything went well."""
    view = followed_send(api, bulk_id)
    if as_json:
        print_json(view)
    else:
        print(ended_line(view))
    return 0 if view["state"] == "completed" and not failures(view["counts"]) else 1


def ended_line(view: dict[str, Any]) -> str:
    """ "completed after 3m12s: 990 delivered, 10 bounced (bulk_...)" """
    time_taken = f" after {took(view)}" if took(view) else ""
    words = in_words(view["counts"]) or "no messages"
    return by_state(f"{view['state']}{time_taken}: {words} ({safe(view['id'])})", view["state"])


def _facts(view: dict[str, Any], now: datetime) -> list[str]:
    return facts(
        [
            ("bulk send", view["id"]),
            ("name", view["name"]),
            ("state", view["state"] + (f": {view['reason']}" if view["reason"] else "")),
            ("messages", f"{view['accepted']:,}: {in_words(view['counts'])}"),
            ("refused", _refused(view)),
            ("waits for", (view["waits_for"] or {}).get("detail")),
            ("rate now", f"{view['rate_now']:,.1f}/s" if view["rate_now"] else ""),
            ("rate limit", view["rate"]),
            ("relay", view["relay"]),
            ("time left", until(now, view["eta"])),
            ("retry", _schedule(view["retry"])),
            ("accepted", shown(view["accepted_at"])),
            ("begins", shown(view["send_at"])),
            ("started", shown(view["started_at"])),
            ("finished", shown(view["finished_at"])),
            ("took", took(view)),
            ("deadline", shown(view["deadline"])),
            ("expires", shown(view["expires_at"])),
            ("window", _window(view["window"])),
            ("notice of", view["notice_of"]),
            ("workflow", view["workflow_id"]),
        ]
    )


def _refused(view: dict[str, Any]) -> str:
    counted = {"rejected": view["rejected"], "duplicates": view["duplicates"]}
    return ", ".join(f"{number:,} {word}" for word, number in counted.items() if number)


def _window(window: dict[str, Any] | None) -> str:
    """ "mon,tue 09:00-18:00 Europe/Berlin" """
    if window is None:
        return ""
    return f"{','.join(window['days'])} {window['start']}-{window['end']} {window['time_zone']}"


def _schedule(retry: dict[str, Any]) -> str:
    """ "after 5m, then times 2, at most 3h" """
    if retry["waits"]:
        return "after " + ", ".join(map(length, retry["waits"]))
    first, most = length(retry["initial"]), length(retry["maximum"])
    return f"after {first}, then times {retry['factor']:g}, at most {most}"
