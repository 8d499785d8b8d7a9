"""What `postwerk message send` and `list` do."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from postwerk.cli.client.errors import Misused, NoAnswer
from postwerk.cli.client.http import Api
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import since
from postwerk.cli.client.output import print_json
from postwerk.cli.client.schedules import retry_of
from postwerk.cli.client.tables import columns
from postwerk.cli.client.terminal import safe
from postwerk.cli.commands.send_campaign import headers_of, notify_of, read_text

HEADS = columns("id", "state", "~to", ">attempts", ">age", "~waits for")
_PLAIN = ("to", "subject", "reply_to", "return_path", "name", "relay", "deadline", "on_ambiguous")
"""Options whose value is the field's."""
_PERHAPS = "It may have been taken: look at `postwerk message list` first."


def send(given: argparse.Namespace, api: Api) -> int:
    try:
        taken = api.call("POST", "/v1/messages", request_of(given))
    except NoAnswer as error:
        # Never again by itself: it may have been taken, and nobody wants the mail twice.
        raise NoAnswer(f"{error} {_PERHAPS}") from error
    if given.json:
        print_json(taken)
    else:
        print(f"{safe(taken['id'])} is {safe(taken['state'])}.")
    return 0


def request_of(given: argparse.Namespace) -> dict[str, Any]:
    """Raises Misused."""
    request = {name: getattr(given, name) for name in _PLAIN if getattr(given, name) is not None}
    request["from"] = given.from_
    request |= {name: _read(path) for name in ("text", "html") if (path := getattr(given, name)) is not None}
    for name, pairs in (
        ("variables", given.var),
        ("headers", headers_of(given)),
        ("metadata", given.metadata),
    ):
        if pairs:
            request[name] = dict(pairs)
    if given.retry:
        request["retry"] = retry_of(given.retry)
    if given.notify or given.notify_on or given.notify_mode:
        request["notify"] = notify_of(given, None)
    if coalesce := _coalesce(given):
        request["coalesce"] = coalesce
    return request


def _read(path: str) -> str:
    return sys.stdin.read() if path == "-" else read_text(Path(path))


def _coalesce(given: argparse.Namespace) -> dict[str, Any] | None:
    if given.coalesce is None:
        if given.window is not None or given.rank is not None:
            raise Misused("--window and --rank go with --coalesce KEY.")
        return None
    return {"key": given.coalesce, "window": given.window or "1m", "rank": given.rank or 0}


def list_all(given: argparse.Namespace, api: Api) -> int:
    query = {"state": given.state, "to": given.to}
    return show_list(api, "/v1/messages", query, HEADS, _row, given, most=200)


def _row(message: dict[str, Any]) -> list[object]:
    waits = (message["waits_for"] or {}).get("detail", "")
    age = since(datetime.now(UTC), message["accepted_at"]) if message["accepted_at"] else ""
    return [message["id"], message["state"], message["to"], message["attempt_count"], age, waits]
