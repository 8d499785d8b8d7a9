"""One mail or refusal as HTML, a tab at a time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from postwerk.sandbox.entries import REFUSED
from postwerk.sandbox.inbox_rows import Entry
from postwerk.sandbox.mail import Mail
from postwerk.sandbox.web import layout
from postwerk.sandbox.web.message_views import Shown, view_of

_NAMES = {"html": "HTML", "text": "Text", "headers": "Headers", "source": "Source"}


def message_page(shown: Shown, view: str) -> str:
    """The page with the tab that was asked for, or else the first one there is."""
    views = _views(shown.mail)
    chosen = view if view in views else views[0]
    entry = shown.entry
    body = (
        f'<article class="card"><div class="title">{layout.badge(entry)}<h1>{_title(entry)}</h1></div>'
        f"{_head(shown)}{_tabs(shown, views, chosen)}"
        f'<section class="view {chosen}">{view_of(shown, chosen)}</section></article>'
    )
    return layout.page(entry.subject or entry.answer, _top(shown), body)


def missing_page(words: str) -> str:
    """In place of one that is not there, or not any more."""
    back = f'<a class="brand" id="back" href="{layout.link("/", {"q": words})}">← Inbox</a>'
    return layout.page("Not there", back, '<p class="empty">There is no such mail here, or not any more.</p>')


def _views(mail: Mail | None) -> list[str]:
    if mail is None:
        return ["smtp"]
    has = {"html": mail.html is not None, "text": mail.text is not None, "headers": True, "source": True}
    attached = ["attachments"] if mail.attachments else []
    return [*(view for view, there in has.items() if there), *attached, "smtp"]


def _title(entry: Entry) -> str:
    if entry.verdict == REFUSED:
        return f"Refused: {escape(entry.answer)}"
    if not entry.body_id:
        return "Given up by the client"
    return escape(entry.subject) or "<i>no subject</i>"


def _top(shown: Shown) -> str:
    back = layout.link("/", {"q": shown.words})
    fields = {"token": shown.token, "q": shown.words}
    delete = f"/messages/{shown.entry.reference}/delete"
    return (
        f'<a class="brand" id="back" href="{back}">← Inbox</a><span class="space"></span>'
        f"{_step(shown.newer, shown.words, 'newer', '‹ Newer')}"
        f"{_step(shown.older, shown.words, 'older', 'Older ›')}"
        f"{layout.post_button(delete, 'Delete', fields, 'Delete this one?')}"
    )


def _step(entry: Entry | None, words: str, name: str, label: str) -> str:
    if entry is None:
        return f'<span class="step off">{label}</span>'
    address = layout.link(f"/messages/{entry.reference}", {"q": words})
    rel = "prev" if name == "newer" else "next"
    return f'<a class="step" id="{name}" rel="{rel}" href="{address}">{label}</a>'


def _head(shown: Shown) -> str:
    entry, mail = shown.entry, shown.mail
    headers = {name: escape(value) for name, value in mail.headers.items()} if mail else {}
    envelope = f"{escape(entry.mail_from or '<>')} → {escape(entry.rcpt_to or 'nobody yet')}"
    return layout.definitions(
        {name: headers.get(name, "") for name in ("From", "To", "Cc", "Reply-To", "Date")}
        | {"Envelope": envelope, "Answer": f"{escape(entry.answer)} <small>({_when(entry)})</small>"}
    )


def _when(entry: Entry) -> str:
    attempt = f", attempt {entry.attempt}" if entry.attempt else ""
    return f"{layout.moment(entry.at)}{attempt}"


def _tabs(shown: Shown, views: Sequence[str], chosen: str) -> str:
    names = _NAMES | {"smtp": "SMTP"}
    if shown.mail is not None:
        names["attachments"] = f"Attachments {len(shown.mail.attachments)}"
    path = f"/messages/{shown.entry.reference}"
    tabs = "".join(
        f'<a href="{layout.link(path, {"view": view, "q": shown.words})}"'
        f"{' aria-current=page' if view == chosen else ''}>{names[view]}</a>"
        for view in views
    )
    raw = (
        f'<a class="raw" href="/api/messages/{shown.entry.id}/raw" download>Download</a>'
        if shown.mail
        else ""
    )
    return f'<nav class="tabs">{tabs}{raw}</nav>'
