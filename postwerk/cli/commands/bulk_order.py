"""`postwerk bulk start|pause|resume|cancel|test|retry-failed|change`."""

from __future__ import annotations

import argparse
from typing import Any

from postwerk.cli.client.again import key_of, until_answered
from postwerk.cli.client.confirm import can_ask, confirmed
from postwerk.cli.client.counting import finished, number_of
from postwerk.cli.client.errors import Misused
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.operation import settled
from postwerk.cli.client.output import print_json
from postwerk.cli.client.schedules import none_or, retry_of
from postwerk.cli.client.terminal import safe, say
from postwerk.cli.commands.bulk_read import show_send

_CHANGEABLE = ("rate", "deadline", "retry", "relay", "name")


def order(given: argparse.Namespace, api: Api) -> int:
    path = f"/v1/bulk-sends/{segment(given.id)}"
    if given.order == "cancel" and not given.yes and not _agreed(api, path):
        say("Nothing was done.")
        return 1
    reason = getattr(given, "reason", None)
    body = None if given.order == "start" else _with_reason({}, reason)
    view = api.call("POST", f"{path}/{given.order}", body)
    if given.json:
        print_json(view)
    else:
        print(f"{safe(view['id'])} is {safe(view['state'])}.")
    return 0


def _agreed(api: Api, path: str) -> bool:
    if not can_ask():
        raise Misused("bulk cancel needs --yes where nobody can be asked.")
    view = api.get(path)
    left = number_of(view["accepted"] - finished(view["counts"]), "open message")
    title = f" ({safe(view['name'])})" if view["name"] else ""
    return confirmed(f"Cancel {safe(view['id'])}{title} with {left}?")


def retry_failed(given: argparse.Namespace, api: Api) -> int:
    names = {"provider": "provider", "domain": "domain", "recipient": "recipient", "code": "code"}
    names["reason"] = "reason_is"
    wanted = {name: getattr(given, option) for name, option in names.items() if getattr(given, option)}
    if wanted.get("code", "").isdigit():
        wanted["code"] = int(wanted["code"])
    body: dict[str, Any] = {"filter": wanted} if wanted else {}
    if given.state:
        body["states"] = list(dict.fromkeys(given.state))
    if given.dry_run:
        body["dry_run"] = True
    path = f"/v1/bulk-sends/{segment(given.id)}/retry-failed"
    key = "" if given.dry_run else key_of(None)
    order = _with_reason(body, given.reason)
    return settled(given, api, until_answered(lambda: api.call("POST", path, order, key=key)))


def test(given: argparse.Namespace, api: Api) -> int:
    body: dict[str, Any] = {"to": given.to}
    if given.as_ is not None:
        body["as"] = given.as_
    if given.var:
        body["variables"] = dict(given.var)
    path, key = f"/v1/bulk-sends/{segment(given.id)}/test", key_of(None)
    taken = until_answered(lambda: dict(api.call("POST", path, body, key=key)))
    if given.json:
        print_json(taken)
        return 0
    listed = " It is on the suppression list and gets nothing." if taken["suppressed"] else ""
    print(f"{safe(taken['id'])}: a test mail to {safe(given.to)}.{listed}")
    return 0


def change(given: argparse.Namespace, api: Api) -> int:
    body = {name: getattr(given, name) for name in _CHANGEABLE if getattr(given, name) is not None}
    if not body:
        raise Misused("Say what to change: --rate, --deadline, --retry, --relay or --name.")
    for name in ("rate", "relay"):
        if name in body:
            body[name] = none_or(body[name])
    if "retry" in body:
        body["retry"] = retry_of(body["retry"])
    view = api.call("PATCH", f"/v1/bulk-sends/{segment(given.id)}", _with_reason(body, given.reason))
    show_send(view, as_json=given.json)
    return 0


def _with_reason(body: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {**body, "reason": reason} if reason else body
