"""`postwerk inbound`: mail that came back; without more it is the listener that takes such mail in."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import shown
from postwerk.cli.client.options import add_limit, leaf
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, facts

_HEADS = columns("id", "received", "kind", "state", "message", "~detail")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(work=_listen)
    commands = parser.add_subparsers(metavar="WHAT", title="what to do; without it: listen")
    listing = leaf(commands, "list", "Mails that came back, newest first.", list_all)
    listing.add_argument("--state", choices=("waiting", "done", "ignored", "unparsed"))
    listing.add_argument("--kind", choices=("bounce", "delay", "complaint", "auto_reply", "other"))
    add_limit(listing, 50)
    leaf(commands, "show", "One of them: what was read in it, and what followed.", show).add_argument(
        "id", metavar="ID"
    )


def _listen(_given: argparse.Namespace, _api: Api) -> int:
    return int(import_module("postwerk.cli.inbound_listener").listen())


def list_all(given: argparse.Namespace, api: Api) -> int:
    return show_list(api, "/v1/inbound", {"state": given.state, "kind": given.kind}, _HEADS, _row, given)


def _row(mail: dict[str, Any]) -> list[object]:
    return [
        mail["id"],
        shown(mail["received_at"]),
        mail["kind"] or "-",
        mail["state"],
        mail["message"] or "-",
        mail["detail"],
    ]


def show(given: argparse.Namespace, api: Api) -> int:
    mail = api.get(f"/v1/inbound/{segment(given.id)}")
    if given.json:
        print_json(mail)
        return 0
    names = ("state", "kind", "detail", "message", "via", "mail_from", "rcpt_to", "size", "tries")
    lines = [(name.replace("_", " "), mail[name]) for name in names]
    lines += [(name.replace("_at", ""), shown(mail[name])) for name in ("received_at", "processed_at")]
    found = mail["found"] or {}
    lines += [
        (name.replace("_", " "), found[name])
        for name in ("how", "reporting_mta", "feedback")
        if found.get(name)
    ]
    for one in found.get("reported", ()):
        said = " ".join(filter(None, (one["action"], one["status"], one["diagnostic"])))
        lines.append((one["recipient"] or one["original"] or "recipient", said))
    print_lines(facts(lines))
    return 0
