"""`postwerk webhooks`: who is told of events, where, and how that goes."""

from __future__ import annotations

import argparse
from typing import Any

from postwerk.cli.client.again import key_of, until_answered
from postwerk.cli.client.confirm import can_ask, confirmed
from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import shown
from postwerk.cli.client.options import add_limit, leaf, whole
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, facts
from postwerk.cli.client.terminal import safe, say

_WEBHOOKS = "/v1/webhooks"
_HEADS = columns("id", "state", "~url", ">batch", "~types", "~description")
_LOG_HEADS = columns("at", "outcome", ">try", ">events", ">status", ">ms", "~detail", "id")
_OUTCOMES = ("sending", "delivered", "failed", "given_up")
_BAD = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    add_limit(leaf(commands, "list", "The webhooks, newest first.", list_all), 50)
    _of_one(commands, "show", "One webhook, and how far it has been told.", show)
    add = leaf(commands, "add", "Tell somebody of what happens from now on. Prints the secret, once.", added)
    add.add_argument("url", metavar="URL", help="https:// to a public address")
    add.add_argument("--type", action="append", metavar="TYPE", help="message.bounced, message.* ...; all")
    add.add_argument("--repeated", action="store_true", help="also deferrals for the same reason as before")
    add.add_argument("--max-events", type=whole(1), default=1, metavar="N", help="in one request (1)")
    add.add_argument("--max-wait-ms", type=whole(0), default=0, metavar="N", help="one may wait so long (0)")
    add.add_argument("--description", default="", metavar="TEXT", help="what it is for")
    add.add_argument("--idempotency-key", metavar="KEY", help="the same key again makes nothing twice")
    rotate = _of_one(commands, "rotate", "A new secret, printed once.", rotated)
    rotate.add_argument("--keep-former-for", metavar="TIME", help="it signs as well for so long (24h)")
    _of_one(commands, "test", "Send webhook.test now; exit code 1 if it is not taken.", tested)
    replay = _of_one(commands, "replay", "Send again what it has been told.", replayed)
    replay.add_argument("--since", metavar="WHEN", help="a moment (RFC 3339) or the id of an event")
    replay.add_argument("--delivery", metavar="ID", help="one request, by its id")
    enable = _of_one(commands, "enable", "Go on where it stopped.", enabled)
    enable.add_argument("--skip-missed", action="store_true", help="leave out what happened meanwhile")
    _of_one(commands, "disable", "Tell it nothing for now.", disabled)
    remove = _of_one(commands, "remove", "Tell it nothing any more, and forget it.", removed)
    remove.add_argument("--yes", action="store_true", help="do not ask")
    log = _of_one(commands, "deliveries", "Its requests and what was answered, newest first.", deliveries)
    log.add_argument("--outcome", choices=_OUTCOMES, help="only these")
    add_limit(log, 50)


def _of_one(commands: Any, name: str, help: str, work: Any) -> argparse.ArgumentParser:
    parser = leaf(commands, name, help, work)
    parser.add_argument("id", metavar="ID")
    return parser


def list_all(given: argparse.Namespace, api: Api) -> int:
    return show_list(api, _WEBHOOKS, {}, _HEADS, _row, given, most=200)


def _row(one: dict[str, Any]) -> list[object]:
    batch = one["batching"]["max_events"]
    return [one["id"], one["state"], one["url"], batch, _types(one), one["description"]]


def show(given: argparse.Namespace, api: Api) -> int:
    return _told(given, api.get(_path(given.id)))


def added(given: argparse.Namespace, api: Api) -> int:
    body: dict[str, Any] = {
        "url": given.url,
        "description": given.description,
        "repeated": given.repeated,
        "batching": {"max_events": given.max_events, "max_wait_ms": given.max_wait_ms},
    }
    if given.type:
        body["types"] = given.type
    key = key_of(given.idempotency_key)
    return _told(given, until_answered(lambda: api.call("POST", _WEBHOOKS, body, key=key)))


def rotated(given: argparse.Namespace, api: Api) -> int:
    body = {"keep_former_for": given.keep_former_for} if given.keep_former_for else None
    key, path = key_of(None), f"{_path(given.id)}/rotate-secret"
    return _told(given, until_answered(lambda: api.call("POST", path, body, key=key)))


def tested(given: argparse.Namespace, api: Api) -> int:
    answer = api.call("POST", f"{_path(given.id)}/test")
    if given.json:
        print_json(answer)
    else:
        said = f"{answer['status']} {answer['detail']}" if answer["status"] else answer["detail"]
        print(safe(f"{answer['outcome']} in {answer['milliseconds']} ms: {said}".rstrip(": ")))
    return 0 if answer["outcome"] == "delivered" else _BAD


def replayed(given: argparse.Namespace, api: Api) -> int:
    wanted = {"since": given.since, "delivery": given.delivery}
    body = {name: value for name, value in wanted.items() if value}
    if len(body) != 1:
        raise Misused("Say from where: --since WHEN, or --delivery ID.")
    answer = api.call("POST", f"{_path(given.id)}/replay", body, key=key_of(None))
    if given.json:
        print_json(answer)
    else:
        print(safe(f"Sent again up to {answer['up_to'] or 'now'}; workflow {answer['workflow_id']}."))
    return 0


def enabled(given: argparse.Namespace, api: Api) -> int:
    body = {"skip_missed": True} if given.skip_missed else None
    return _told(given, api.call("POST", f"{_path(given.id)}/enable", body))


def disabled(given: argparse.Namespace, api: Api) -> int:
    return _told(given, api.call("POST", f"{_path(given.id)}/disable"))


def removed(given: argparse.Namespace, api: Api) -> int:
    if not given.yes:
        if not can_ask():
            raise Misused("webhooks remove needs --yes where nobody can be asked.")
        found = api.get(_path(given.id))
        if not confirmed(f"Remove {safe(found['id'])} ({safe(found['url'])})?"):
            say("Nothing was done.")
            return _BAD
    api.delete(_path(given.id))
    if given.json:
        print_json({"object": "webhook", "id": given.id, "state": "removed"})
    else:
        print(f"{safe(given.id)} is removed.")
    return 0


def deliveries(given: argparse.Namespace, api: Api) -> int:
    query = {"outcome": given.outcome} if given.outcome else {}
    return show_list(api, f"{_path(given.id)}/deliveries", query, _LOG_HEADS, _log_row, given)


def _log_row(one: dict[str, Any]) -> list[object]:
    names = ("attempt", "events", "status", "milliseconds", "detail", "id")
    return [shown(one["at"]), one["outcome"], *(one[name] for name in names)]


def _types(one: dict[str, Any]) -> str:
    return ", ".join(one["types"]) if one["types"] else "all"


def _path(name: str) -> str:
    return f"{_WEBHOOKS}/{segment(name)}"


def _told(given: argparse.Namespace, one: dict[str, Any]) -> int:
    if given.json:
        print_json(one)
        return 0
    batching = one["batching"]
    pairs = [
        ("webhook", one["id"]),
        ("state", one["state"] + (f": {one['reason']}" if one["reason"] else "")),
        ("url", one["url"]),
        ("description", one["description"]),
        ("types", _types(one)),
        ("repeated", "deferrals for the same reason too" if one["repeated"] else ""),
        ("batches", f"of {batching['max_events']}, waiting {batching['max_wait_ms']} ms"),
        ("owner", one["owner"]),
        ("told up to", one["position"]),
        ("former", f"signs until {shown(one['former_secret_until'])}" if one["former_secret_until"] else ""),
        ("secret", one.get("secret", "")),
    ]
    print_lines(facts(pairs))
    return 0
