"""The inbox as HTML: no script, everything escaped, a mail's own HTML only inside a sandboxed frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from postwerk.sandbox.entries import ACCEPTED, NO_REPLY
from postwerk.sandbox.ledger import Tally
from postwerk.sandbox.mail import Attachment, Mail
from postwerk.sandbox.reader import Stored

_REFRESH_SECONDS = 3
_SOURCE_SHOWN = 500_000


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of the inbox."""

    messages: Sequence[Stored]
    has_older: bool
    words: str
    """What was searched for."""
    live: bool
    """Loads itself again every few seconds."""
    is_first: bool


def inbox(listing: Listing, tally: Tally, open_connections: int) -> str:
    """The list of messages, newest first."""
    refresh = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">' if listing.live else ""
    body = [_top_bar(listing), _figures(tally, open_connections), _table(listing), _pager(listing)]
    return _page("Sandbox inbox", "".join(body), refresh)


def message(stored: Stored, mail: Mail, raw: bytes, view: str) -> str:
    """One message: who, what, and its text, HTML or source."""
    views = [
        name
        for name, there in (("text", mail.text), ("html", mail.html), ("source", True))
        if there is not None
    ]
    chosen = view if view in views else views[0]
    body = [
        '<header class="bar"><a class="back" href="/">← Inbox</a></header><article>',
        f"<h1>{escape(stored.subject) or '<i>no subject</i>'}</h1>",
        _facts(stored, mail),
        _tabs(stored.id, views, chosen),
        _shown(mail, raw, chosen),
        _attachments(mail.attachments),
        "</article>",
    ]
    return _page(stored.subject or "Message", "".join(body))


def _page(title: str, body: str, head: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{head}'
        f"<title>{escape(title)} · Postwerk sandbox</title>"
        f'<link rel="stylesheet" href="/style.css"></head><body><main>{body}</main></body></html>'
    )


def _top_bar(listing: Listing) -> str:
    live = "<a class=on href='/'>● Live</a>" if listing.live else "<a href='/?live'>○ Live</a>"
    return (
        '<header class="bar"><h1><a href="/">Sandbox inbox</a></h1>'
        f'<form role="search"><input type="search" name="q" value="{escape(listing.words)}" '
        'placeholder="Recipient or subject" aria-label="Search recipient or subject"></form>'
        f'<nav>{live}<form method="post" action="/clear"><button>Clear</button></form></nav></header>'
    )


def _figures(tally: Tally, open_connections: int) -> str:
    figures = [
        (tally.verdicts[ACCEPTED], "accepted"),
        (tally.verdicts[NO_REPLY], "taken without a reply"),
        (sum(tally.refused.values()), "refused"),
        (open_connections, "open connections"),
    ]
    shown = "".join(f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for number, name in figures)
    return f'<dl class="figures">{shown}</dl>'


def _table(listing: Listing) -> str:
    if not listing.messages:
        hint = (
            "Nothing here matches."
            if listing.words
            else "No mail yet. What is sent to this sandbox shows up here."
        )
        return f'<p class="empty">{hint}</p>'
    rows = "".join(_row(stored) for stored in listing.messages)
    return (
        "<table><thead><tr><th>To</th><th>Subject</th><th>Attempt</th><th>Size</th><th>Taken (UTC)</th></tr>"
        "</thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _row(stored: Stored) -> str:
    mark = "" if stored.verdict == ACCEPTED else f' <span class="mark">{escape(stored.verdict)}</span>'
    subject = escape(stored.subject) or "<i>no subject</i>"
    return (
        f'<tr><td class="to">{escape(stored.rcpt_to)}</td>'
        f'<td class="subject"><a href="/messages/{stored.id}">{subject}</a>{mark}</td>'
        f'<td class="number">{stored.attempt}</td><td class="number">{_size(stored.size)}</td>'
        f'<td class="number">{_moment(stored.taken_at)}</td></tr>'
    )


def _pager(listing: Listing) -> str:
    links = []
    if not listing.is_first:
        links.append(f'<a href="/?{escape(urlencode({"q": listing.words}))}">Newest</a>')
    if listing.has_older:
        query = urlencode({"q": listing.words, "before": listing.messages[-1].id})
        links.append(f'<a href="/?{escape(query)}">Older →</a>')
    return f'<nav class="pager">{"".join(links)}</nav>' if links else ""


def _facts(stored: Stored, mail: Mail) -> str:
    facts = {name: value for name, value in mail.headers.items() if name != "Subject"} | {
        "Envelope": f"{stored.mail_from or '<>'} → {stored.rcpt_to}",
        "Message-ID": stored.message_id,
        "Taken": f"{_moment(stored.taken_at)} UTC, attempt {stored.attempt}, {stored.verdict}",
        "SHA-256": stored.sha256,
    }
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f'<dl class="facts">{shown}</dl>'


def _tabs(number: int, views: Sequence[str], chosen: str) -> str:
    names = {"text": "Text", "html": "HTML", "source": "Source"}
    tabs = "".join(
        f'<a href="?view={view}"{" aria-current=page" if view == chosen else ""}>{names[view]}</a>'
        for view in views
    )
    download = f'<a class="raw" href="/api/messages/{number}/raw" download>Download</a>'
    return f'<nav class="tabs">{tabs}{download}</nav>'


def _shown(mail: Mail, raw: bytes, view: str) -> str:
    if view == "html":
        # An empty sandbox attribute forbids scripts, forms, popups and our origin; the CSP forbids the web.
        return f'<iframe sandbox srcdoc="{escape(mail.html or "")}" title="The mail as HTML"></iframe>'
    text = mail.text if view == "text" else raw[:_SOURCE_SHOWN].decode("utf-8", "replace")
    return f"<pre>{escape(text or '')}</pre>"


def _attachments(attachments: Sequence[Attachment]) -> str:
    if not attachments:
        return ""
    items = "".join(
        f"<li>{escape(a.name)} <small>{escape(a.kind)}, {_size(a.size)}</small></li>" for a in attachments
    )
    return f'<section class="attachments"><h2>Attachments</h2><ul>{items}</ul></section>'


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
