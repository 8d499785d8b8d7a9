"""An operation on messages: what the API answers to it, shown and waited for."""

from __future__ import annotations

import argparse
import json
from typing import Any

from postwerk.cli.client.counting import in_words, number_of
from postwerk.cli.client.follow import followed_operation
from postwerk.cli.client.http import Api
from postwerk.cli.client.moments import shown
from postwerk.cli.client.output import print_json
from postwerk.cli.client.tables import facts
from postwerk.cli.client.terminal import safe


def add_operation(parser: argparse.ArgumentParser) -> None:
    """Options of every command that starts one."""
    parser.add_argument("--dry-run", action="store_true", help="say what it would do, and do nothing")
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait for a large one: print its id (operations show)"
    )


def settled(given: argparse.Namespace, api: Api, answer: dict[str, Any]) -> int:
    """Show the answer to a verb: what a dry run found, or the operation, waited for unless --no-wait."""
    if answer["object"] == "operation" and answer["state"] == "running" and not given.no_wait:
        answer = followed_operation(api, answer)
    if given.json:
        print_json(answer)
    else:
        print(dry_run_line(answer) if answer["object"] == "dry_run" else result_line(answer))
    return exit_code_of(answer)


def dry_run_line(found: dict[str, Any]) -> str:
    """ "Would hold 12 messages (3 queued, 9 deferred)." """
    words = in_words(found["states"])
    detail = f" ({words})" if words else ""
    return f"Would {_verb(found)} {number_of(found['matched'], 'message')}{detail}."


def result_line(operation: dict[str, Any]) -> str:
    """ "hold: 12 messages changed, 1 skipped (op_...)." """
    verb, name = _verb(operation), safe(operation["id"])
    if operation["state"] == "running":
        return f"{verb}: under way ({name})."
    if not operation["matched"] and operation["state"] == "done":
        return f"{verb}: no message matched ({name})."
    skipped = f", {operation['skipped']:,} skipped" if operation["skipped"] else ""
    detail = f" {safe(operation['detail'])}" if operation.get("detail") else ""
    failed = " FAILED:" if operation["state"] == "failed" else ""
    return f"{verb}:{failed} {number_of(operation['changed'], 'message')} changed{skipped} ({name}).{detail}"


def _verb(answer: dict[str, Any]) -> str:
    """As the command is called: retry-failed."""
    return safe(answer["verb"]).replace("_", "-")


def operation_facts(operation: dict[str, Any]) -> list[str]:
    """Everything about one."""
    return facts(
        [
            ("id", operation["id"]),
            ("verb", operation["verb"]),
            ("state", operation["state"]),
            ("filter", json.dumps(operation["filter"])),
            ("matched", operation["matched"]),
            ("changed", operation["changed"]),
            ("skipped", operation["skipped"]),
            ("by", operation["by"]),
            ("reason", operation["reason"]),
            ("created", shown(operation["created_at"])),
            ("finished", shown(operation["finished_at"])),
            ("detail", operation.get("detail")),
        ]
    )


def exit_code_of(answer: dict[str, Any]) -> int:
    return 1 if answer.get("state") == "failed" else 0
