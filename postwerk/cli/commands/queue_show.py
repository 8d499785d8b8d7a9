"""`postwerk queue show`: one message, as `postcat` and `exim -Mvl` show one."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.moments import shown, until
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import facts
from postwerk.cli.client.terminal import is_terminal, safe, safe_lines
from postwerk.cli.commands.queue_list import delay_reason, reply_words


def run(given: argparse.Namespace, api: Api) -> int:
    path = f"/v1/messages/{segment(given.id)}"
    if given.raw or given.headers:
        mail = api.raw(f"{path}/content")
        _write(mail.partition(b"\r\n\r\n")[0] + b"\r\n" if given.headers else mail)
        return 0
    message = api.get(path)
    if given.json:
        print_json(message["attempts"] if given.log else message)
        return 0
    print_lines([] if given.log else _facts(message))
    print_lines(log_lines(message["attempts"]))
    return 0


def _write(mail: bytes) -> None:
    """Byte for byte into a file or pipe; harmless to a terminal."""
    if is_terminal():
        print(safe_lines(mail.decode("utf-8", "replace")))
    else:
        sys.stdout.buffer.write(mail)


def _facts(message: dict[str, Any]) -> list[str]:
    name = f"{message['name']} <{message['to']}>" if message["name"] else message["to"]
    return facts(
        [
            ("message", message["id"]),
            ("to", name),
            ("state", message["state"] + (" (possible duplicate)" if message["possible_duplicate"] else "")),
            ("reason", message["reason"]),
            ("said", delay_reason(message)),
            ("lane", message["lane"]),
            ("attempts", message["attempt_count"]),
            ("next", _moment(message["next_attempt_at"])),
            ("waits for", (message.get("waits_for") or {}).get("detail")),
            ("coalesced", _coalesced(message.get("coalesced"))),
            ("accepted", shown(message.get("accepted_at"))),
            ("deadline", _moment(message.get("deadline"))),
            ("operator", _operator(message.get("operation"))),
        ]
    )


def _moment(text: str | None) -> str:
    return f"{shown(text)} (in {until(datetime.now(UTC), text)})" if text else ""


def _coalesced(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    into = f" into {found['into']}" if found["into"] else ""
    return f"{found['state']}{into}, key {found['key']}, rank {found['rank']}"


def _operator(operation: dict[str, Any] | None) -> str:
    if not operation:
        return ""
    return (
        f"{operation['verb']} by {operation['by']} at {shown(operation['at'])}: {operation['reason'] or '-'}"
    )


def log_lines(attempts: list[dict[str, Any]]) -> list[str]:
    """Two lines an attempt: when and how it ended, and what was said."""
    lines = []
    for one in attempts:
        tls = f" {one['tls']}" if one["tls"] else ""
        outcome = f"{one['outcome']} at {one['stage']} ({one['reason']})"
        took = f"{one['milliseconds']:,} ms"
        lines.append(f"{shown(one['started_at'])}  #{one['number']} {one['host']}{tls}  {outcome}, {took}")
        lines.append(f"    {reply_words(one) or '(no reply)'}")
    return [safe(line) for line in lines] or ["No attempt has been made."]
