"""The request of `postwerk send`: a campaign file's fields, and what the options say over them."""

from __future__ import annotations

import argparse
import base64
import json
import tomllib
from pathlib import Path
from typing import Any

from postwerk.cli.client.errors import Misused
from postwerk.cli.client.schedules import retry_of
from postwerk.cli.client.times import times_of

FIELDS = (
    *("name", "from", "return_path", "reply_to", "subject", "text", "html", "variables", "headers"),
    *("template", "attachments", "inline_css", "list_unsubscribe", "dkim"),
    *("metadata", "recipients", "recipients_per_child", "deadline", "retry", "rate", "relay", "auto_pause"),
    *("max_consecutive_config_errors", "on_ambiguous", "notify", "validation", "open"),
    *("send_at", "expires_at", "window"),
)
"""Of `POST /v1/bulk-sends`."""
_PLAIN = (
    *("name", "subject", "return_path", "reply_to", "rate", "relay", "deadline", "recipients_per_child"),
    *("max_consecutive_config_errors", "on_ambiguous"),
)
"""Options whose value is the field's."""


def request_of(given: argparse.Namespace) -> dict[str, Any]:
    """The request without the lists of --recipients. Raises Misused."""
    request = _campaign(Path(given.campaign)) if given.campaign else {}
    request |= {name: getattr(given, name) for name in _PLAIN if getattr(given, name) is not None}
    request |= times_of(given)
    request |= _content(given)
    for name, pairs in (
        ("variables", given.var),
        ("headers", headers_of(given)),
        ("metadata", given.metadata),
    ):
        if pairs:
            request[name] = {**(request.get(name) or {}), **dict(pairs)}
    request |= _choices(given)
    if given.notify or given.notify_on or given.notify_mode:
        request["notify"] = notify_of(given, request.get("notify"))
    if given.to or given.recipients:
        request["recipients"] = [{"to": one} for one in given.to or ()]
    return request


def _campaign(path: Path) -> dict[str, Any]:
    document = read_document(path)
    unknown = [str(name) for name in document if name not in FIELDS]
    if unknown:
        raise Misused(f"{path}: there is no field {unknown[0]!r}; the fields are {', '.join(FIELDS)}.")
    _check_json(document, path)
    return document


def read_document(path: Path) -> dict[str, Any]:
    """The fields that a YAML, TOML or JSON file says. Raises Misused."""
    document = _document(path)
    if not isinstance(document, dict):
        raise Misused(f"{path}: this file is one object of fields.")
    _check_json(document, path)
    return document


def _check_json(document: Any, path: Path) -> None:
    try:
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Misused(f"{path}: this cannot be said in JSON: {error}; write it as a text.") from error


def _document(path: Path) -> Any:
    """What the file says, by its ending."""
    text = read_text(path)
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix == ".json":
            return json.loads(text)
    except ValueError as error:  # what tomllib and json raise
        raise Misused(f"{path}: {error}") from error
    if path.suffix in (".yaml", ".yml"):
        from postwerk.cli.client.yaml_files import read_yaml  # only here: its parser takes long to import

        return read_yaml(text, str(path))
    raise Misused(f"{path}: a campaign file ends in .yaml, .yml, .toml or .json.")


def read_text(path: Path) -> str:
    """Raises Misused for a file that is not there, or no UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Misused(f"{path} is not UTF-8.") from error


def _content(given: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"from": given.from_} if given.from_ is not None else {}
    for name in ("text", "html"):
        path = getattr(given, name)
        if path is not None:
            found[name] = read_text(Path(path))
    if given.template:
        name, _, version = given.template.partition("@")
        found["template"] = {"id": name, **({"version": int(version)} if version.isdecimal() else {})}
    if given.attach:
        found["attachments"] = [_file(Path(path)) for path in given.attach]
    if given.inline_css:
        found["inline_css"] = True
    return found


def _file(path: Path) -> dict[str, Any]:
    """Raises Misused for a file that is not there."""
    try:
        return {"filename": path.name, "content": base64.b64encode(path.read_bytes()).decode()}
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from error


def headers_of(given: argparse.Namespace) -> list[tuple[str, str]]:
    pairs = [line.partition(":") for line in given.header]
    for name, colon, _ in pairs:
        if not name or not colon:
            raise Misused(f"--header: write 'Name: value', not {name!r}.")
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _choices(given: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.retry:
        found["retry"] = retry_of(given.retry)
    if given.auto_pause:
        found["auto_pause"] = _auto_pause(given.auto_pause)
    if given.strict and not given.recipients:
        found["validation"] = "strict"  # with a list the rows are counted here: the API cannot look ahead
    return found


def _auto_pause(text: str) -> dict[str, Any]:
    share, comma, least = text.partition(",")
    try:
        return {"bounce_rate": float(share), **({"min_sent": int(least)} if comma else {})}
    except ValueError as error:
        raise Misused("--auto-pause: write a share such as 0.05, or 0.05,100.") from error


def notify_of(given: argparse.Namespace, before: Any) -> dict[str, Any]:
    said = {"to": given.notify, "mode": given.notify_mode}
    if given.notify_on:
        said["on"] = given.notify_on.split(",")
    return {**(before or {}), **{name: value for name, value in said.items() if value}}
