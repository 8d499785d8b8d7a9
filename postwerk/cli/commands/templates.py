"""`postwerk templates`: contents by name, in versions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from postwerk.cli.client.http import Api, segment
from postwerk.cli.client.listing import show_list
from postwerk.cli.client.moments import shown
from postwerk.cli.client.options import add_limit, leaf, pair, whole
from postwerk.cli.client.output import print_json, print_lines
from postwerk.cli.client.tables import columns, facts
from postwerk.cli.client.terminal import safe, say
from postwerk.cli.commands.send_campaign import read_document, read_text

_HEADS = columns("~name", ">version", "since", "~by", "~subject")


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT", title="what to do")
    add_limit(leaf(commands, "list", "The last version of each, by name.", list_all), 100)
    showing = leaf(commands, "show", "One template: what it says.", show)
    showing.add_argument("name", metavar="NAME")
    showing.add_argument("--version", type=whole(1), metavar="N", help="an older one")
    putting = leaf(commands, "put", "Make the next version from a file.", put)
    putting.add_argument(
        "file", metavar="FILE", help=".yaml, .toml or .json: the fields; .html: the html alone"
    )
    putting.add_argument("--name", metavar="NAME", help="the file's name without its ending if left out")
    putting.add_argument("--subject", metavar="TEXT")
    rendering = leaf(commands, "render", "What one recipient would get; 1 when something is missing.", render)
    rendering.add_argument("name", metavar="NAME")
    rendering.add_argument("--version", type=whole(1), metavar="N")
    rendering.add_argument("--to", metavar="MAILBOX")
    rendering.add_argument("--var", action="append", type=pair, default=[], metavar="NAME=VALUE")
    rendering.add_argument("--html", action="store_true", help="the html instead of the text")


def list_all(given: argparse.Namespace, api: Api) -> int:
    return show_list(api, "/v1/templates", {}, _HEADS, _row, given)


def _row(entry: dict[str, Any]) -> list[object]:
    since = shown(entry["created_at"])
    return [entry["id"], entry["version"], since, entry["created_by"], entry["document"].get("subject") or ""]


def show(given: argparse.Namespace, api: Api) -> int:
    entry = api.get(f"/v1/templates/{segment(given.name)}", {"version": given.version})
    if given.json:
        print_json(entry)
        return 0
    known = [("name", entry["id"]), ("version", entry["version"]), ("since", shown(entry["created_at"]))]
    document = entry["document"]
    others = [(name, value) for name, value in document.items() if name not in ("text", "html")]
    print_lines(facts([*known, ("by", entry["created_by"]), *others]))
    for name in ("text", "html"):
        if document.get(name):
            print(f"\n{name}:\n{_lines(document[name])}")
    return 0


def put(given: argparse.Namespace, api: Api) -> int:
    path = Path(given.file)
    document = {"html": read_text(path)} if path.suffix in (".html", ".htm") else read_document(path)
    if given.subject is not None:
        document["subject"] = given.subject
    made = api.call("PUT", f"/v1/templates/{segment(given.name or path.stem)}", document)
    if given.json:
        print_json(made)
    else:
        print(f"{safe(made['id'])} is at version {made['version']}.")
    return 0


def render(given: argparse.Namespace, api: Api) -> int:
    wanted = {"version": given.version, "to": given.to, "recipient_variables": dict(given.var)}
    body = {name: value for name, value in wanted.items() if value}
    found = api.call("POST", f"/v1/templates/{segment(given.name)}/render", body)
    if given.json:
        print_json(found)
    else:
        print(f"Subject: {safe(found['subject'] or '')}\n")
        print(_lines(found["html" if given.html else "text"] or ""))
    for name in found["undefined_variables"]:
        say(f"the variable {safe(name)} has no value")
    for problem in found["errors"]:
        say(f"{safe(problem['pointer'])}: {safe(problem['detail'])}")
    return 1 if found["undefined_variables"] or found["errors"] else 0


def _lines(text: str) -> str:
    return "\n".join(safe(line) for line in text.splitlines())
