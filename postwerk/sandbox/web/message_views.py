"""What stands below the tabs of a message's page. A mail's own HTML stands only in a sandboxed frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from postwerk.sandbox.conversations import Facts, Try
from postwerk.sandbox.html_links import links_of
from postwerk.sandbox.inbox_rows import Entry
from postwerk.sandbox.mail import Attachment, Mail
from postwerk.sandbox.mail_headers import read_headers
from postwerk.sandbox.web import layout

_SOURCE_SHOWN = 500_000
_ADDRESS = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]}]")
_REMOTE = re.compile(r"(?:src|background|srcset)\s*=\s*[\"']?\s*https?:|url\(\s*[\"']?https?:", re.IGNORECASE)
_NOT_LOADED = '<p class="hint">What it would load from elsewhere is not loaded.</p>'
_SMALL_PICTURE_BYTES = 2_000_000
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything about one entry; `mail` is None where nothing was taken."""

    entry: Entry
    mail: Mail | None
    raw: bytes
    facts: Facts
    tries: Sequence[Try]
    newer: Entry | None
    older: Entry | None
    words: str
    """The search it was found by."""
    token: str


def view_of(shown: Shown, view: str) -> str:
    """The tab `view` of this entry."""
    if shown.mail is None or view == "smtp":
        return _conversation(shown)
    if view == "html":
        return _frame(shown.entry, shown.mail)
    if view == "text":
        return f"<pre>{_with_links(shown.mail.text or '')}</pre>"
    if view == "headers":
        return _headers(shown.raw)
    if view == "attachments":
        return _attachments(shown.entry, shown.mail.attachments)
    cut = "" if len(shown.raw) <= _SOURCE_SHOWN else '<p class="hint">The rest is in the download.</p>'
    return f"<pre>{escape(shown.raw[:_SOURCE_SHOWN].decode('utf-8', 'replace'))}</pre>{cut}"


def _frame(entry: Entry, mail: Mail) -> str:
    # An empty sandbox attribute forbids scripts, forms and our origin, the policy of what is in it the web.
    html = mail.html or ""
    frame = f'<iframe sandbox src="/messages/{entry.reference}/html" title="The mail as HTML"></iframe>'
    return f"{_NOT_LOADED if _REMOTE.search(html) else ''}{frame}{_links(links_of(html))}"


def _links(addresses: Sequence[str]) -> str:
    if not addresses:
        return ""
    items = "".join(f"<li>{_link(escape(address))}</li>" for address in addresses)
    return (
        f'<details class="links"><summary>Links in it: {len(addresses)}</summary><ol>{items}</ol></details>'
    )


def _link(address: str) -> str:
    return f'<a href="{address}" rel="noopener noreferrer nofollow" target="_blank">{address}</a>'


def _with_links(text: str) -> str:
    pieces, end = [], 0
    for match in _ADDRESS.finditer(text):
        pieces += [escape(text[end : match.start()]), _link(escape(match[0]))]
        end = match.end()
    return "".join([*pieces, escape(text[end:])])


def _headers(raw: bytes) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(decoded)}{_as_it_came(decoded, came)}</td></tr>"
        for name, decoded, came in read_headers(raw)
    )
    return f'<table class="headers"><tbody>{rows}</tbody></table>'


def _as_it_came(decoded: str, came: str) -> str:
    if " ".join(came.split()) == decoded:
        return ""
    return f"<details><summary>as it came</summary><pre>{escape(came.strip())}</pre></details>"


def _attachments(entry: Entry, attachments: Sequence[Attachment]) -> str:
    rows = "".join(
        f'<li>{_picture(entry, one)}<span class="name">'
        f'<a href="/messages/{entry.reference}/parts/{one.part}" download>{escape(one.name)}</a>'
        f"{' <i>in the HTML</i>' if one.inline else ''}</span>"
        f"<small>{escape(one.kind)} · {layout.size(one.size)}</small></li>"
        for one in attachments
    )
    return f'<ul class="files">{rows}</ul>'


def _picture(entry: Entry, one: Attachment) -> str:
    if one.kind not in _PICTURES or one.size > _SMALL_PICTURE_BYTES:
        return '<span class="thumb"></span>'
    return f'<img class="thumb" src="/messages/{entry.reference}/parts/{one.part}" alt="" loading="lazy">'


def _conversation(shown: Shown) -> str:
    entry, facts = shown.entry, shown.facts
    others = ", ".join(f'<a href="/messages/{number}">{escape(to)}</a>' for number, to in facts.others)
    told = layout.definitions(
        {
            "Answer": escape(entry.answer),
            "Stage": escape(entry.stage),
            "Attempt": str(entry.attempt or ""),
            "Time": layout.moment(entry.at),
            "MAIL FROM": escape(f"<{entry.mail_from}>"),
            "RCPT TO": escape(f"<{entry.rcpt_to}>") if entry.rcpt_to else "",
            "Also to": others,
            "Client": escape(facts.client),
            "Greeting": escape(facts.said),
            "TLS": "none; the sandbox offers none",
            "Login": escape(facts.login) or "none",
            "Message-ID": escape(entry.message_id),
            "Size": f"{entry.size:,} bytes" if entry.body_id else "",
            "SHA-256": f"<code>{escape(entry.sha256)}</code>" if entry.sha256 else "",
        }
    )
    return told + _tries(shown)


def _tries(shown: Shown) -> str:
    if not shown.tries:
        return ""
    rows = "".join(
        f"<tr{' class=here' if one.reference == shown.entry.reference else ''}>"
        f"<td>{layout.code_badge(one.code, one.text)}</td><td>{one.attempt or ''}</td>"
        f"<td>{escape(one.stage)}</td>"
        f'<td><a href="/messages/{one.reference}?view=smtp">{escape(one.text)}</a></td>'
        f"<td>{layout.moment(one.at)}</td></tr>"
        for one in shown.tries
    )
    return (
        f"<h2>Tries of {escape(shown.entry.rcpt_to)}, the latest first</h2>"
        '<table class="tries"><thead><tr><th>Answer</th><th>Attempt</th><th>Stage</th><th>Text</th>'
        f"<th>Time</th></tr></thead><tbody>{rows}</tbody></table>"
    )
