"""What all pages share: the frame around them, and how codes, sizes and times are written. All is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from postwerk.sandbox.inbox_rows import Entry


def page(title: str, top: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)} · Postwerk sandbox</title>"
        '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/style.css">'
        '<script src="/static/inbox.js" defer></script></head>'
        f'<body><header class="top">{top}</header><main>{body}</main></body></html>'
    )


def search_box(words: str) -> str:
    return (
        '<form class="search" role="search" action="/">'
        f'<input type="search" name="q" value="{escape(words)}" maxlength="1000" autocomplete="off" '
        'spellcheck="false" placeholder="Search: words, to: from: subject: code: is:refused has:attachment" '
        'aria-label="Search" aria-keyshortcuts="/"><kbd>/</kbd></form>'
    )


def post_button(path: str, label: str, fields: Mapping[str, str], question: str) -> str:
    """A form of one button; with JavaScript `question` is asked first."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )
    return (
        f'<form method="post" action="{escape(path)}" data-question="{escape(question)}">{hidden}'
        f'<button class="quiet">{escape(label)}</button></form>'
    )


def link(path: str, query: Mapping[str, str]) -> str:
    """An address for an attribute; what is empty in the query is left out."""
    written = urlencode({name: value for name, value in query.items() if value})
    return escape(f"{path}?{written}" if written else path)


def badge(entry: Entry) -> str:
    return code_badge(entry.code, entry.answer)


def code_badge(code: int, answer: str) -> str:
    """The code in its colour: taken, try again, never; a dash where nothing was answered."""
    look = {2: "good", 4: "warn", 5: "bad"}.get(code // 100, "none")
    return f'<span class="code {look}" title="{escape(answer)}">{code or "–"}</span>'


def definitions(facts: Mapping[str, str]) -> str:
    """A list of facts; the values are HTML already, and the empty ones are left out."""
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    return f'<dl class="facts">{shown}</dl>'


def size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def moment(seconds: float) -> str:
    """The whole date, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def short_moment(seconds: float, now: float) -> str:
    """The time if it was today, else the day; the whole of it stands in the title."""
    at = datetime.fromtimestamp(seconds, UTC)
    today = at.date() == datetime.fromtimestamp(now, UTC).date()
    shown = f"{at:%H:%M:%S}" if today else f"{at:%b} {at.day}, {at:%H:%M}"
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}" title="{moment(seconds)}">{shown}</time>'
