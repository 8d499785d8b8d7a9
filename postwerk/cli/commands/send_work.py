"""What `postwerk send` does. Nothing is ever half sent: a list that breaks off takes its send back."""

from __future__ import annotations

import argparse
import time
from typing import Any

from postwerk.cli.client.again import key_of, until_answered
from postwerk.cli.client.counting import number_of
from postwerk.cli.client.errors import CommandFailed, NoAnswer, Refused, Unreachable
from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.lists import opened
from postwerk.cli.client.output import print_json
from postwerk.cli.client.terminal import safe, say
from postwerk.cli.client.uploading import Uploaded, tell_refused, upload
from postwerk.cli.commands.bulk_read import watched
from postwerk.cli.commands.send_campaign import request_of

_SENDS = "/v1/bulk-sends"


def run(given: argparse.Namespace, api: Api) -> int:
    key = key_of(given.idempotency_key)
    request = request_of(given)
    if given.dry_run:
        from postwerk.cli.commands.send_check import check

        return check(given, api, request)
    taken = _sent_with_lists(given, api, request, key) if given.recipients else _sent(api, request, key)
    if given.watch and taken["status"] != "open":
        if not given.json:
            _tell(taken)
        return watched(api, taken["id"], as_json=given.json)
    if given.json:
        print_json(taken)
    else:
        _tell(taken)
    return 0


def _sent(api: Api, request: dict[str, Any], key: str) -> dict[str, Any]:
    taken: dict[str, Any] = _posted(api, request, key)
    for one in taken["errors"]:
        say(f"recipient {one['index'] + 1}: {safe(one['to'])}: {safe(one['detail'])}")
    return taken


def _posted(api: Api, request: dict[str, Any], key: str) -> dict[str, Any]:
    try:
        return until_answered(lambda: dict(api.call("POST", _SENDS, request, key=key)))
    except NoAnswer as error:
        raise NoAnswer(f"{error} {_perhaps(key)}") from error
    except KeyboardInterrupt:
        say(_perhaps(key))
        raise


def _perhaps(key: str) -> str:
    return f"It may have been taken: the same command with --idempotency-key {key} sends nothing twice."


def _sent_with_lists(
    given: argparse.Namespace, api: Api, request: dict[str, Any], key: str
) -> dict[str, Any]:
    """Open ▸ upload ▸ start."""
    stays_open = request.get("open") is True
    _readable(given.recipients)
    taken = _posted(api, {**request, "open": True}, key)
    path, total = f"{_SENDS}/{segment(taken['id'])}", Uploaded()
    try:
        _upload(given, api, path, total, key)
        if not stays_open:
            _check_rows(given, taken, total)
    except BaseException as error:
        if given.idempotency_key is not None and isinstance(error, Unreachable | KeyboardInterrupt):
            say(f"{safe(taken['id'])} is still open and sends nothing; the same command goes on with it.")
        else:
            _take_back(api, path, taken["id"])
        raise
    view = api.get(path) if stays_open else _started(api, path, taken["id"], key)
    return _summed(taken, total, view)


def _readable(paths: list[str]) -> None:
    """Before anything is stored. Raises Misused."""
    for path in paths:
        if path != "-":
            with opened(path):
                pass


def _upload(given: argparse.Namespace, api: Api, path: str, total: Uploaded, key: str) -> None:
    for number, name in enumerate(given.recipients, 1):
        with opened(name, given.format, given.charset) as found:
            upload(api, f"{path}/recipients", found, total, time.sleep, f"{key}.list-{number}")
    tell_refused(total)


def _check_rows(given: argparse.Namespace, taken: dict[str, Any], total: Uploaded) -> None:
    """Raises CommandFailed when the list is not good enough to be sent to."""
    rejected = total.numbers.get("rejected", 0) + taken["rejected"]
    if given.strict and rejected:
        raise CommandFailed(
            f"{number_of(rejected, 'recipient')} cannot be taken; with --strict nobody gets it."
        )
    if not taken["accepted"] + total.numbers.get("accepted", 0) + total.numbers.get("duplicates", 0):
        raise CommandFailed("There is no recipient that can be sent to.")


def _take_back(api: Api, path: str, bulk_id: str) -> None:
    """Cancel the open send; when that fails too, say what is left and how to go on."""
    try:
        api.call("POST", f"{path}/cancel", {"reason": "its list did not get through"})
        say(f"{safe(bulk_id)} was cancelled before it began; nothing was sent.")
    except CommandFailed as error:
        say(f"{safe(bulk_id)} is still open and sends nothing; cancelling it failed: {safe(error)}")
        say(f"Cancel it with: postwerk bulk cancel {safe(bulk_id)}")


def _started(api: Api, path: str, bulk_id: str, key: str) -> dict[str, Any]:
    try:
        return until_answered(lambda: dict(api.call("POST", f"{path}/start", key=f"{key}.start")))
    except (Unreachable, Refused) as error:
        # It may have been started, so it is not cancelled: mail may be on its way.
        say(f"All recipients of {safe(bulk_id)} are stored; whether it was started is not known.")
        say(f"Start it (once more does no harm): postwerk bulk start {safe(bulk_id)}")
        say(f"or give it up: postwerk bulk cancel {safe(bulk_id)}")
        raise error


def _summed(taken: dict[str, Any], total: Uploaded, view: dict[str, Any]) -> dict[str, Any]:
    """The answer as if all had been in one request."""
    counters = {name: view[name] for name in ("accepted", "rejected", "duplicates")}
    errors = {
        "errors": [*taken["errors"], *total.errors],
        "errors_truncated": taken["errors_truncated"] or total.errors_truncated,
    }
    everyone = sum(counters.values())
    return {**taken, "status": view["state"], "total": everyone, **counters, **errors}


def _tell(taken: dict[str, Any]) -> None:
    """ "bulk_...: 998 recipients (2 refused, 1 duplicate)." and how to go on, on stdout."""
    less = {"refused": taken["rejected"], "duplicate": taken["duplicates"], "suppressed": taken["suppressed"]}
    words = ", ".join(f"{number:,} {word}" for word, number in less.items() if number)
    print(
        f"{safe(taken['id'])}: {number_of(taken['accepted'], 'recipient')}"
        + (f" ({words})." if words else ".")
    )
    command = "start" if taken["status"] == "open" else "watch"
    print(f"postwerk bulk {command} {safe(taken['id'])}")
