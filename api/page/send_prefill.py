"""A send that is stored, as the fields of the form that it could have been written in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from api.page.forms import Form
from api.taking.files import ID_PREFIX, GivenFile
from postwerk.archive.reads import BulkSend
from postwerk.contracts.content import Content, ListUnsubscribe, Mailbox
from postwerk.contracts.options import DEFAULT_DEADLINE, BulkOptions, OnAmbiguous
from postwerk.contracts.windows import MINUTES_OF_A_DAY
from postwerk.rules.sending_window import clock


def empty_form(public_url: str) -> Form:
    """What is chosen before anybody has chosen."""
    leaving = "ours" if public_url else "none"
    return Form(
        [("zone", "UTC"), ("unsubscribe", leaving), ("notify_on", "failure"), ("notify_on", "completion")]
    )


def form_of_send(send: BulkSend, content: Content) -> Form:
    """Times stand in UTC, or in the zone of its window."""
    return Form(
        [
            ("name", send.name),
            *_content(content),
            *_leaving(content.list_unsubscribe),
            *_options(send.options),
            *_metadata(send.metadata),
        ]
    )


def files_of(content: Content) -> list[GivenFile]:
    return [
        GivenFile(
            filename=one.name,
            id=ID_PREFIX + one.blob,
            content_type=one.media_type,
            content_id=one.content_id or None,
            inline=one.inline,
        )
        for one in content.attachments
        if one.blob
    ]


def _metadata(metadata: Any) -> Iterator[tuple[str, str]]:
    rest = dict(metadata) if isinstance(metadata, dict) else {}
    tags = rest.get("tags")
    if isinstance(tags, list) and all(isinstance(tag, str) and "," not in tag for tag in tags):
        yield "tags", ", ".join(rest.pop("tags"))
    yield "metadata", _json(rest)


def _content(content: Content) -> Iterator[tuple[str, str]]:
    yield "from", _mailbox(content.sender)
    yield "reply_to", ", ".join(map(_mailbox, content.reply_to))
    yield "subject", content.subject
    yield "html", content.html or ""
    yield "text", "" if content.text_from_html else content.text or ""
    if content.html is not None and content.text is None and not content.text_from_html:
        yield "html_alone", "on"
    if content.inline_css:
        yield "inline_css", "on"
    yield "variables", _json(content.variables)
    yield "headers", "\n".join(f"{name}: {value}" for name, value in content.headers.items())
    yield "return_path", content.return_path or ""
    yield "dkim", "" if content.dkim.wanted else "none"


def _leaving(wanted: ListUnsubscribe | None) -> Iterator[tuple[str, str]]:
    if wanted is None:
        yield "unsubscribe", "none"
        return
    yield "unsubscribe", "ours" if wanted.own_link else "own"
    yield "unsubscribe_url", wanted.url or ""
    yield "unsubscribe_mailto", wanted.mailto or ""
    if wanted.one_click:
        yield "one_click", "on"


def _options(options: BulkOptions) -> Iterator[tuple[str, str]]:
    window = options.window
    yield "rate", options.rate or ""
    yield "relay", options.relay
    yield "on_ambiguous", "" if options.on_ambiguous is OnAmbiguous.RESEND else options.on_ambiguous.value
    length = options.deadline
    yield "deadline", "" if length == DEFAULT_DEADLINE else f"{int(length.total_seconds())}s"
    if options.auto_pause is not None:
        yield "auto_pause", f"{100 * options.auto_pause.bounce_rate:g}"
    yield "recipients_per_child", str(options.recipients_per_child or "")
    yield "zone", window.time_zone if window else "UTC"
    yield "send_at", _moment(options.send_at, options)
    yield "expires_at", _moment(options.expires_at, options)
    if window is not None:
        yield from (("window_days", day.value) for day in window.days)
        yield "window_start", clock(window.start)
        yield "window_end", clock(window.end % MINUTES_OF_A_DAY)  # a browser knows no 24:00
    if options.notify is not None:
        yield "notify_to", ", ".join(map(_mailbox, options.notify.to))
        yield from (("notify_on", of.value) for of in options.notify.on)
        yield "notify_mode", options.notify.mode.value


def _mailbox(one: Mailbox) -> str:
    quoted = one.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{one.email}>' if one.name else one.email


def _moment(moment: datetime | None, options: BulkOptions) -> str:
    zone = ZoneInfo(options.window.time_zone) if options.window else UTC
    return "" if moment is None else f"{moment.astimezone(zone):%Y-%m-%dT%H:%M}"


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if value else ""
