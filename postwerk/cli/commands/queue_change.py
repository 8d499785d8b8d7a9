"""`postwerk queue retry|hold|release|cancel|expire`: the same order for many messages, or for one."""

from __future__ import annotations

import argparse
from typing import Any

from postwerk.cli.client.confirm import can_ask, confirmed
from postwerk.cli.client.counting import number_of
from postwerk.cli.client.errors import Misused
from postwerk.cli.client.filters import meant
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.operation import dry_run_line, settled
from postwerk.cli.client.terminal import say

NEED_REASON = ("hold", "cancel", "expire")
_NO_REASON_YET = "dry run"
"""The API wants a reason for what it is only to count, too; it keeps none of it."""
FOR_GOOD = ("cancel", "expire")


def run(given: argparse.Namespace, api: Api) -> int:
    wanted = meant(given)
    if given.dry_run:
        return settled(given, api, _dry_run(given, api, wanted))
    if given.verb in NEED_REASON and not given.reason:
        raise Misused(f"Say why: queue {given.verb} needs --reason.")
    if given.verb in FOR_GOOD and not given.yes and not _agreed(given, api, wanted):
        say("Nothing was done.")
        return 1
    return settled(given, api, _order(given, api, wanted))


def _order(given: argparse.Namespace, api: Api, wanted: dict[str, Any]) -> Any:
    reason = {"reason": given.reason} if given.reason else {}
    single = single_id(wanted)
    if single:  # by its own address: the API says why it cannot be done, instead of matching nothing
        return api.call("POST", f"/v1/messages/{segment(single)}/{given.verb}", reason)
    return api.call("POST", f"/v1/queue/{given.verb}", {"filter": wanted, **reason})


def _dry_run(given: argparse.Namespace, api: Api, wanted: dict[str, Any]) -> Any:
    body = {"filter": wanted, "dry_run": True, "reason": given.reason or _NO_REASON_YET}
    return api.call("POST", f"/v1/queue/{given.verb}", body)


def _agreed(given: argparse.Namespace, api: Api, wanted: dict[str, Any]) -> bool:
    """Whether it may be done: one message needs no question, more do. Raises Misused without a terminal."""
    if single_id(wanted):
        return True
    if not can_ask():
        raise Misused(f"queue {given.verb} of more than one message needs --yes where nobody can be asked.")
    found = _dry_run(given, api, wanted)
    if found["matched"] <= 1:
        return True
    say(dry_run_line(found))
    return confirmed(f"{given.verb.capitalize()} {number_of(found['matched'], 'message')}?")


def single_id(wanted: dict[str, Any]) -> str:
    """The message, if the filter is one id and nothing else."""
    ids = wanted.get("ids", [])
    return str(ids[0]) if len(ids) == 1 and len(wanted) == 1 else ""
