"""What somebody wrote into the form of a send, as the API's request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from api.errors import MalformedCall
from api.page.forms import Form
from api.page.send_fields import Wrong, field_at
from api.taking.files import GivenFile
from api.taking.strict_json import strict_json
from api.taking.times import read_time_zone
from postwerk.errors import InvalidRequest
from postwerk.rules.recipients import find_nul

_MAILBOX = re.compile(r"""(?:[^",;\n]|"(?:[^"\\]|\\.)*"|")+""")
"""Up to a comma that stands in no quotes; a quote that is never closed is one character."""
_LONGEST_LIST = 4000
_LONGEST_TAG, _MOST_TAGS = 50, 8
_PLAIN = ("name", "from", "subject", "rate", "return_path", "relay", "deadline", "on_ambiguous")
_BODIES = ("html", "text")


def document_of(form: Form, files: Sequence[GivenFile]) -> tuple[dict[str, Any], Wrong]:
    """The request as a caller would have written it, without recipients; and what cannot be read at all."""
    wrong: Wrong = {}
    document: dict[str, Any] = {"open": True}
    document |= {name: form.get(name) for name in _PLAIN if form.get(name)}
    document |= {name: form.raw(name) for name in _BODIES if form.get(name)}
    if form.get("subject") == "" and not form.get("template"):
        document["subject"] = ""
    if form.get("html_alone") and "html" in document:
        document["text"] = ""
    for name, read in _READERS.items():
        try:
            if (value := read(form)) is not None:
                document[name] = value
        except (InvalidRequest, MalformedCall) as error:
            wrong[_FIELD.get(error.pointer, error.pointer)] = error.message
    if (nul := find_nul(document)) is not None:
        wrong[field_at(nul)] = "A NUL character cannot be kept."
    if files:
        document["attachments"] = list(files)
    return document, wrong


def local_moment(text: str, zone: str, field: str) -> str:
    """A time as clocks there show it ("2026-12-01T08:00"), as RFC 3339. Raises InvalidRequest."""
    read_time_zone(zone, "zone")
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest("Write a day and a time, as 2026-12-01 08:00.", pointer=field) from error
    if given.tzinfo is not None:
        return given.isoformat()
    there = given.replace(tzinfo=ZoneInfo(zone))
    if there.astimezone(UTC).astimezone(there.tzinfo).replace(tzinfo=None) != given:
        raise InvalidRequest(
            "There is no such time on this day: the clocks are put forward then.", pointer=field
        )
    return there.isoformat()


def _moment(field: str) -> Callable[[Form], str | None]:
    def read(form: Form) -> str | None:
        text = form.get(field)
        return local_moment(text, form.get("zone") or "UTC", field) if text else None

    return read


def _reply_to(form: Form) -> list[str] | None:
    return _mailboxes(form.get("reply_to"), "reply_to")


def _mailboxes(text: str, field: str) -> list[str] | None:
    """Between commas, which may stand within quotes too."""
    if len(text) > _LONGEST_LIST:
        raise InvalidRequest("These are too many addresses.", pointer=field)
    return [one.strip() for one in _MAILBOX.findall(text) if one.strip()] or None


def _template(form: Form) -> dict[str, Any] | None:
    name, version = form.get("template"), _number(form, "version")
    if not name and version is not None:
        raise InvalidRequest("Say of which template.", pointer="template")
    return None if not name else {"id": name} | ({} if version is None else {"version": version})


def _number(form: Form, field: str) -> int | None:
    text = form.get(field)
    if not text:
        return None
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise InvalidRequest("Write a whole number.", pointer=field)
    return int(text)


def _unsubscribe(form: Form) -> Any:
    wanted = form.get("unsubscribe")
    url, mailto = form.get("unsubscribe_url"), form.get("unsubscribe_mailto")
    if wanted == "own":
        if not url and not mailto:
            raise InvalidRequest("Give a link of yours, or an address.", pointer="unsubscribe_url")
        own = {"url": url or None, "mailto": mailto or None, "one_click": bool(form.get("one_click"))}
        return {name: value for name, value in own.items() if value is not None}
    return {"mailto": mailto, "one_click": True} if wanted == "ours" and mailto else wanted == "ours" or None


def _window(form: Form) -> dict[str, Any] | None:
    days, start, end = form.all("window_days"), form.get("window_start"), form.get("window_end")
    if not (days or start or end):
        return None
    if not days:
        raise InvalidRequest("Say on which days.", pointer="window_days")
    return {"days": days, "start": start[:5], "end": end[:5], "time_zone": form.get("zone") or "UTC"}


def _notify(form: Form) -> dict[str, Any] | None:
    to = _mailboxes(form.get("notify_to"), "notify_to")
    if to is None:
        return None
    return {"to": to, "on": form.all("notify_on"), "mode": form.get("notify_mode") or "digest"}


def _object(field: str) -> Callable[[Form], Any]:
    def read(form: Form) -> Any:
        if not form.get(field):
            return None
        try:
            value = strict_json(form.get(field).encode("utf-8", "replace"))
        except MalformedCall as error:
            raise InvalidRequest(f"This is no JSON: {error.message}", pointer=field) from error
        if not isinstance(value, dict):
            raise InvalidRequest('Write a JSON object, as {"season": "spring"}.', pointer=field)
        return value or None

    return read


def _metadata(form: Form) -> dict[str, Any] | None:
    """With the tags in it, as the overview shows them."""
    tags = [tag.strip() for tag in form.get("tags").split(",") if tag.strip()]
    if any(len(tag) > _LONGEST_TAG for tag in tags) or len(tags) > _MOST_TAGS:
        raise InvalidRequest(
            f"At most {_MOST_TAGS} tags of at most {_LONGEST_TAG} characters.", pointer="tags"
        )
    given = _object("metadata")(form) or {}
    return {**given, **({"tags": tags} if tags else {})} or None


def _headers(form: Form) -> dict[str, str] | None:
    """A line each."""
    found: dict[str, str] = {}
    for number, line in enumerate(form.get("headers").splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip():
            raise InvalidRequest(f"Line {number} is none of the form Name: value.", pointer="headers")
        if name.strip() in found:
            raise InvalidRequest(f"Line {number} names {name.strip()} once more.", pointer="headers")
        found[name.strip()] = value.strip()
    return found or None


def _auto_pause(form: Form) -> dict[str, Any] | None:
    text = form.get("auto_pause").removesuffix("%").strip().replace(",", ".")
    if not text:
        return None
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3})?", text, re.ASCII):
        raise InvalidRequest("Write a number of percent, as 5.", pointer="auto_pause")
    return {"bounce_rate": float(text) / 100}


_FIELD = {"#": ""}
_READERS: dict[str, Callable[[Form], Any]] = {
    "reply_to": _reply_to,
    "template": _template,
    "list_unsubscribe": _unsubscribe,
    "send_at": _moment("send_at"),
    "expires_at": _moment("expires_at"),
    "window": _window,
    "notify": _notify,
    "variables": _object("variables"),
    "metadata": lambda form: _metadata(form),
    "headers": _headers,
    "inline_css": lambda form: True if form.get("inline_css") else None,
    "retry": lambda form: form.get("retry") or None,
    "auto_pause": _auto_pause,
    "dkim": lambda form: False if form.get("dkim") == "none" else None,
    "recipients_per_child": lambda form: _number(form, "recipients_per_child"),
}
