"""`postwerk queue list`: as `postqueue -p` for people, and as `postqueue -j` for scripts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.counting import number_of
from postwerk.cli.client.filters import filter_of
from postwerk.cli.client.http import Api
from postwerk.cli.client.moments import parsed, until
from postwerk.cli.client.output import print_json_line, print_lines
from postwerk.cli.client.terminal import by_state, room, safe, say, shortened

_QUEUES = {"queued": "active", "sending": "active", "deferred": "deferred", "held": "hold"}
"""Postfix's name for the queue that a message of ours would be in."""
_OURS = (
    *("bulk_send", "bulk_name", "seq", "state", "mark", "lane", "reason", "age"),
    *("attempt_count", "deferrals", "next_attempt_at", "deadline", "operation"),
)
_HEAD = f"{'-Message ID-':-<42} {'--Accepted (UTC)-':-<17} --Bulk send-------"


def run(given: argparse.Namespace, api: Api) -> int:
    shown = 0
    page: dict[str, Any] = {"has_more": False}
    for page in api.pages("/v1/queue/messages", filter_of(given), given.limit):
        _show_page(page["data"], given.json, first=not shown)
        shown += len(page["data"])
    if not given.json:
        _end(shown, given.limit, has_more=page["has_more"])
    elif page["has_more"]:
        say(f"There are more than {given.limit:,}; --limit 0 shows all of them.")
    return 0


def _show_page(messages: list[dict[str, Any]], as_json: bool, *, first: bool) -> None:
    if first and messages and not as_json:
        print(_HEAD)
    for message in messages:
        if as_json:
            print_json_line(postqueue(message))
        else:
            print_lines(_lines(message, datetime.now(UTC)))


def _end(shown: int, limit: int, *, has_more: bool) -> None:
    if has_more:
        print(f"-- The first {limit:,}; there are more: --limit 0 shows all, `queue count` counts.")
    else:
        print(f"-- {number_of(shown, 'message')}." if shown else "The queue is empty.")


def _lines(message: dict[str, Any], now: datetime) -> Iterator[str]:
    """Two lines, cut at a terminal: which message, and who waits why."""
    wide = room()
    name = safe(message["id"]) + message["mark"]
    accepted = parsed(message["accepted_at"])
    when = accepted.astimezone(UTC).strftime("%b %d %H:%M:%S") if accepted else "-"
    first = f"{name:<42} {when:<17} {safe(message['bulk_name'])}".rstrip()
    second = f"    {safe(message['to'])}: {_why(message, now)}"
    yield shortened(first, wide) if wide else first
    yield by_state(shortened(second, wide) if wide else second, message["state"])


def _why(message: dict[str, Any], now: datetime) -> str:
    pieces = [str(message["state"])]
    if message["attempt_count"]:
        pieces.append(number_of(message["attempt_count"], "attempt"))
    if message["state"] == "deferred" and message["next_attempt_at"]:
        pieces.append(f"next in {until(now, message['next_attempt_at'])}")
    reason = delay_reason(message)
    return safe(", ".join(pieces) + (f" ({reason})" if reason else ""))


def postqueue(message: dict[str, Any]) -> dict[str, Any]:
    """A message with the keys of `postqueue -j` first and our own after them (docs/cli.md).

    The API knows neither the size of a mail that is not composed yet nor a message's envelope sender,
    so `message_size` and `sender` are left out.
    """
    accepted = parsed(message["accepted_at"])
    recipient = {"address": message["to"]}
    reason = delay_reason(message)
    if reason:
        recipient["delay_reason"] = reason
    return {
        "queue_name": _QUEUES[message["state"]],
        "queue_id": message["id"],
        "arrival_time": int(accepted.timestamp()) if accepted else None,
        "forced_expire": (message.get("operation") or {}).get("verb") == "expire",
        "recipients": [recipient],
        **{name: message[name] for name in _OURS if name in message},
    }


def delay_reason(message: dict[str, Any]) -> str:
    """What the server said last, or else why it waits."""
    waits = message.get("waits_for") or {}
    said = reply_words(message.get("last_reply") or {})
    return said or str(waits.get("detail") or message.get("reason") or "")


def reply_words(reply: dict[str, Any]) -> str:
    """Code, enhanced code and text; servers mostly say the enhanced code in the text, too."""
    code, enhanced, text = (str(reply.get(name) or "") for name in ("code", "enhanced", "text"))
    pieces = [code, "" if text.startswith(enhanced) else enhanced, text]
    return " ".join(piece for piece in pieces if piece)
