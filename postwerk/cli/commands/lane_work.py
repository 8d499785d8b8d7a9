"""What `postwerk lanes` and `postwerk relay` do."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_rows
from postwerk.cli.client.moments import shown, until
from postwerk.cli.client.output import print_json, print_json_line, print_lines
from postwerk.cli.client.tables import columns, facts
from postwerk.cli.client.terminal import safe, say

HEADS = columns("lane", "state", ">queued", ">conn", ">per min", "rate", ">rests", "~last refusal")
_LIMITS = ("rate", "connections", "messages_per_connection")
_MOST = 10_000


def list_all(given: argparse.Namespace, api: Api) -> int:
    found = api.get("/v1/lanes", {"all": given.all, "limit": _MOST, "relay": given.relay})
    if given.json:
        for lane in found["data"]:
            print_json_line(lane)
    else:
        show_rows(found["data"], HEADS, row)
        print(f"-- {relay_line(found['relay'])}")
        if len(found["relays"]) > 1:
            print(f"-- relays: {safe(', '.join(found['relays']))} (--relay NAME)")
    if found["has_more"]:
        say(f"There are more than {_MOST:,} lanes.")
    return 0


def row(lane: dict[str, Any]) -> list[object]:
    rest = until(datetime.now(UTC), (lane["suspension"] or lane["cool_down"] or {}).get("until"))
    use, refusal = lane["use"], lane["last_refusal"] or {}
    limit = lane["limits"]["rate"]["value"]
    now = [use["connections"], f"{use['attempts_per_minute']:,.0f}"]
    return [lane["lane"], lane["state"], lane["queued"], *now, limit, rest, refusal.get("reply")]


def relay_line(relay: dict[str, Any]) -> str:
    """ "relay default (mail.example.com:587): working" """
    server = f" ({safe(relay['server'])})" if relay["server"] else ""
    rest = f" until {shown(relay['cool_down']['until'])}" if relay["cool_down"] else ""
    failures = f", {relay['failures']:,} failures in a row" if relay["failures"] else ""
    return f"relay {safe(relay['name'])}{server}: {safe(relay['state'])}{rest}{failures}"


def show(given: argparse.Namespace, api: Api) -> int:
    return _told(given, api.get(_path(given), {"relay": given.relay}))


def set_limits(given: argparse.Namespace, api: Api) -> int:
    wanted = {name: getattr(given, name) for name in _LIMITS if getattr(given, name) is not None}
    if bool(wanted) == given.none:
        raise Misused("Name limits (--rate, --connections, --messages-per-connection), or --none.")
    ends = {"for": given.for_, "until": given.until}
    order = {**wanted, **{name: value for name, value in ends.items() if value}}
    return _told(given, _order(given, api, order))


def rest(given: argparse.Namespace, api: Api) -> int:
    return _told(given, _order(given, api, {"cool_down": given.for_}))


def resume(given: argparse.Namespace, api: Api) -> int:
    return _told(given, _order(given, api, {"cool_down": None}))


def _order(given: argparse.Namespace, api: Api, order: dict[str, Any]) -> Any:
    return api.call("PUT", _path(given), {**order, "reason": given.reason}, {"relay": given.relay})


def _path(given: argparse.Namespace) -> str:
    return f"/v1/lanes/{segment(given.lane)}"


def _told(given: argparse.Namespace, lane: dict[str, Any]) -> int:
    if given.json:
        print_json(lane)
    else:
        print_lines(lane_facts(lane))
    return 0


def lane_facts(lane: dict[str, Any]) -> list[str]:
    """Everything about a lane."""
    use, recovering = lane["use"], lane["recovering"]
    pace = f"a message each {recovering['seconds_between_messages']:g} s" if recovering else ""
    limits = [(name.replace("_", " "), _limit(limit)) for name, limit in lane["limits"].items()]
    return facts(
        [
            ("lane", lane["lane"]),
            ("domains", ", ".join(lane["domains"])),
            ("state", lane["state"]),
            *limits,
            ("set by", _override(lane["override"])),
            ("suspended", _suspension(lane["suspension"])),
            ("without", ", ".join(lane["suspended_domains"])),
            ("rests", rest_words(lane["cool_down"])),
            ("recovering", pace),
            ("last refusal", refusal_words(lane["last_refusal"])),
            ("connections now", use["connections"]),
            ("attempts a minute", f"{use['attempts_per_minute']:g}"),
            ("queued", lane["queued"]),
        ]
    )


def _limit(limit: dict[str, Any]) -> str:
    return "" if limit["value"] is None else f"{limit['value']} ({limit['from']})"


def _suspension(suspension: dict[str, Any] | None) -> str:
    """ "until 2026-11-22 04:00:00 by ada: their server moves" """
    if not suspension:
        return ""
    until_when, who = shown(suspension["until"]), suspension["by"]
    return f"until {until_when} by {who}: {suspension['reason']}"


def _override(override: dict[str, Any] | None) -> str:
    if not override:
        return ""
    end = f", until {shown(override['until'])}" if override["until"] else ""
    return f"{override['set_by']}{end}: {override['reason']}"


def rest_words(rest: dict[str, Any] | None) -> str:
    """Until when, why, and by whose word."""
    if not rest:
        return ""
    left = until(datetime.now(UTC), rest["until"])
    return f"until {shown(rest['until'])} (in {left}): {rest['reason']} ({rest['origin']})"


def refusal_words(refusal: dict[str, Any] | None) -> str:
    return f"{shown(refusal['at'])}  {refusal['reply']}" if refusal else ""
