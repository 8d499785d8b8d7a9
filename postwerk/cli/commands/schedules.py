"""`postwerk schedules`: bulk sends that are sent again and again."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from postwerk.cli.client.confirm import can_ask, confirmed
from postwerk.cli.client.counting import number_of
from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import length, shown, until
from postwerk.cli.client.options import add_limit, add_reason, leaf
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, facts
from postwerk.cli.client.terminal import safe, say

_SCHEDULES = "/v1/schedules"
_HEADS = columns("id", "state", "~name", "~when", ">recipients", "last")
_ORDERS = {
    "pause": "Make no more sends of it for now; those under way go on.",
    "resume": "Go on at its next time.",
    "trigger": "Make one send of it now, also while it is paused.",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    add_limit(leaf(commands, "list", "The schedules, newest first.", list_all), 50)
    leaf(commands, "show", "One schedule, and when it comes next.", show).add_argument("id", metavar="ID")
    create = leaf(commands, "create", "Send the same again and again, by a file.", created)
    create.add_argument("file", metavar="FILE", help="name, spec and bulk_send as YAML, TOML or JSON")
    for name, help in _ORDERS.items():
        order = leaf(commands, name, help, ordered)
        order.set_defaults(order=name)
        order.add_argument("id", metavar="ID")
        add_reason(order, required=name == "pause")
    delete = leaf(commands, "delete", "Make no more sends of it; those that are there stay.", deleted)
    delete.add_argument("id", metavar="ID")
    delete.add_argument("--yes", action="store_true", help="do not ask")


def list_all(given: argparse.Namespace, api: Api) -> int:
    return show_list(api, _SCHEDULES, {}, _HEADS, _row, given, most=200)


def _row(one: dict[str, Any]) -> list[object]:
    recipients = one["bulk_send"]["recipients"]
    return [one["id"], one["state"], one["name"], when(one["spec"]), recipients, shown(one["last_at"])]


def show(given: argparse.Namespace, api: Api) -> int:
    return _told(given, api.get(_path(given.id)))


def created(given: argparse.Namespace, api: Api) -> int:
    from postwerk.cli.commands.send_campaign import read_document

    return _told(given, api.call("POST", _SCHEDULES, read_document(Path(given.file))))


def ordered(given: argparse.Namespace, api: Api) -> int:
    body = {"reason": given.reason} if given.reason else None
    answer = api.call("POST", f"{_path(given.id)}/{given.order}", body)
    if given.order != "trigger":
        return _told(given, answer)
    if given.json:
        print_json(answer)
    else:
        print(f"{safe(answer['bulk_send'])} is being made.")
    return 0


def deleted(given: argparse.Namespace, api: Api) -> int:
    if not given.yes:
        if not can_ask():
            raise Misused("schedules delete needs --yes where nobody can be asked.")
        found = api.get(_path(given.id))
        if not confirmed(f"Delete {safe(found['id'])} ({safe(found['name'])}, {safe(when(found['spec']))})?"):
            say("Nothing was done.")
            return 1
    api.delete(_path(given.id))
    if given.json:
        print_json({"object": "schedule", "id": given.id, "state": "deleted"})
    else:
        print(f"{safe(given.id)} is deleted.")
    return 0


def when(spec: dict[str, Any]) -> str:
    """ "0 8 * * mon Europe/Berlin", "every 1d" """
    if spec["cron"]:
        return f"{spec['cron']} {spec['time_zone']}"
    return f"every {length(spec['every'])}"


def _path(name: str) -> str:
    return f"{_SCHEDULES}/{segment(name)}"


def _told(given: argparse.Namespace, one: dict[str, Any]) -> int:
    if given.json:
        print_json(one)
        return 0
    sent, spec = one["bulk_send"], one["spec"]
    next_at = one["next_at"] or [None]
    ahead = until(datetime.now(UTC), next_at[0])
    pairs = [
        ("schedule", one["id"]),
        ("name", one["name"]),
        ("state", one["state"] + (f": {one['reason']}" if one["reason"] else "")),
        ("when", when(spec)),
        ("from", shown(spec["start_at"])),
        ("until", shown(spec["end_at"])),
        ("jitter", length(spec["jitter"]) if spec["jitter"] else ""),
        ("sends", f"{sent['subject']!r} to {number_of(sent['recipients'], 'recipient')}"),
        ("next", f"{shown(next_at[0])} (in {ahead})" if next_at[0] else ""),
        ("last", shown(one["last_at"])),
        ("last send", one["last_bulk_send"]),
        ("in force", "" if one["in_force"] else "not yet: Temporal is away"),
    ]
    print_lines(facts(pairs))
    return 0
