"""The inbox as HTML: search, what there is of each answer, and the list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from postwerk.sandbox.entries import ACCEPTED, NO_REPLY, REFUSED
from postwerk.sandbox.inbox_rows import Entry
from postwerk.sandbox.ledger import Tally
from postwerk.sandbox.paging import Page
from postwerk.sandbox.web import layout

_MOST_CODES = 12

_HELP = (
    ("late again", "words in recipient, sender, subject or answer; all have to be there"),
    ('subject:"late again"', "the words together; also <b>to:</b> <b>from:</b> <b>message-id:</b>"),
    ("code:451", "by the answer's code, or how it begins: <b>code:4</b>"),
    ("is:refused", "or <b>is:accepted</b>, <b>is:noreply</b>, <b>is:abandoned</b>; <b>stage:rcpt</b>"),
    ("has:attachment", "and <b>text:word</b> read the mails themselves, the newest first"),
    ("after:2026-11-22", "and <b>before:</b>, a date or a time in UTC; <b>larger:20k</b>, <b>smaller:</b>"),
    ("-to:example.com", "a minus in front turns any of them around"),
)
_CLIP = (
    '<svg class="clip" viewBox="0 0 16 16" role="img"><title>has attachments</title><path fill="none" '
    'stroke="currentColor" stroke-width="1.6" stroke-linecap="round" d="M13 7.5l-5.2 5.2a3.2 3.2 0 0 1'
    '-4.5-4.5l5.6-5.6a2.1 2.1 0 0 1 3 3L6.4 11a1 1 0 0 1-1.5-1.5l4.8-4.8"/></svg>'
)
_KEYS = "<kbd>/</kbd> search · <kbd>j</kbd> <kbd>k</kbd> down and up · <kbd>Enter</kbd> open"


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of the inbox."""

    page: Page
    words: str
    """What was searched for."""
    count: int | None
    """How many match; None when only reading all mails would tell."""
    is_first: bool
    attached: Collection[int]
    """The bodies among those shown that have attachments."""
    trouble: str = ""
    """What is wrong with the search."""


def list_page(listing: Listing, tally: Tally, open_connections: int, token: str, now: float) -> str:
    """The whole page; what `live` marks is drawn anew while it is open."""
    live = ' data-live="yes"' if listing.is_first and not listing.trouble else ""
    body = (
        f'<div id="live"{live}>{_chips(listing.words, tally, open_connections)}'
        f"{_told(listing)}{_table(listing, now)}{_pager(listing)}</div>"
        "<noscript><p class=hint>Without JavaScript this list stands still; reload it to see new mail.</p>"
        f"</noscript>{_help()}"
    )
    return layout.page("Inbox", _top(listing, token), body)


def _top(listing: Listing, token: str) -> str:
    fields = {"token": token, "q": listing.words}
    label = "Delete found" if listing.words else "Clear all"
    many = "all" if listing.count is None else f"{listing.count:,}"
    question = f"Delete {many} that match?" if listing.words else "Delete everything, counts included?"
    button = layout.post_button("/clear", label, fields, question) if not listing.trouble else ""
    return (
        '<a class="brand" href="/">Sandbox inbox</a>'
        f'{layout.search_box(listing.words)}<span id="pulse" hidden>live</span>{button}'
    )


def _chips(words: str, tally: Tally, open_connections: int) -> str:
    refused = sum(tally.refused.values())
    states = [
        ("All", "", sum(tally.verdicts.values()) + refused + tally.abandoned),
        ("Accepted", "is:accepted", tally.verdicts[ACCEPTED]),
        ("Refused", "is:refused", refused),
        ("No reply", "is:noreply", tally.verdicts[NO_REPLY]),
        ("Given up", "is:abandoned", tally.abandoned),
    ]
    codes = [
        (str(code) if code else "hung up", f"is:refused code:{code}" if not code else f"code:{code}", number)
        for code, number in tally.refused.most_common(_MOST_CODES)
    ]
    shown = "".join(_chip(*one, words) for one in states if one[2] or not one[1])
    refusals = "".join(_chip(*one, words) for one in sorted(codes))
    gap = '<span class="gap"></span>' if refusals else ""
    connections = "connection" if open_connections == 1 else "connections"
    return (
        f'<nav class="chips" aria-label="By answer">{shown}{gap}{refusals}'
        f'<span class="connections">{open_connections:,} open {connections}</span></nav>'
    )


def _chip(name: str, query: str, number: int, words: str) -> str:
    chosen = ' aria-current="true"' if words.strip() == query else ""
    return f'<a href="{layout.link("/", {"q": query})}"{chosen}>{escape(name)} <b>{number:,}</b></a>'


def _told(listing: Listing) -> str:
    """What there is to say about the search."""
    if listing.trouble:
        return f'<p class="hint trouble">{escape(listing.trouble)}</p>'
    if not listing.page.complete:
        return '<p class="hint">Not all mails have been read yet; “Older” below reads on.</p>'
    if listing.words and listing.count is not None:
        return f'<p class="hint">{listing.count:,} found</p>'
    return ""


def _table(listing: Listing, now: float) -> str:
    entries = listing.page.entries
    if not entries:
        return f'<p class="empty">{_nothing(listing)}</p>'
    rows = "".join(_row(entry, listing, now) for entry in entries)
    return (
        '<table class="list"><thead><tr><th class="c">Answer</th><th class="f">From</th><th class="t">To</th>'
        '<th class="s">Subject</th><th class="z">Size</th><th class="w">Time (UTC)</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _nothing(listing: Listing) -> str:
    if not listing.words:
        return "No mail yet. What is sent to this sandbox shows up here."
    plain = " ".join(word for word in listing.words.split() if ":" not in word)
    further = layout.link("/", {"q": f'text:"{plain}"'}) if plain and '"' not in plain else ""
    also = f' <a href="{further}">Search in the mails’ text too</a>' if further else ""
    return f"Nothing here matches.{also}"


def _row(entry: Entry, listing: Listing, now: float) -> str:
    address = layout.link(f"/messages/{entry.reference}", {"q": listing.words})
    attempt = f'<span class="mark">attempt {entry.attempt}</span>' if entry.attempt > 1 else ""
    marks = attempt + (_CLIP if entry.body_id in listing.attached else "")
    weight = layout.size(entry.size) if entry.body_id else ""
    return (
        f'<tr><td class="c">{layout.badge(entry)}</td>'
        f'<td class="f" title="{escape(entry.shown_sender)}">{escape(_name(entry))}</td>'
        f'<td class="t">{escape(entry.rcpt_to) or "<i>nobody yet</i>"}</td>'
        f'<td class="s"><span class="marks">{marks}</span><a href="{address}">{_headline(entry)}</a></td>'
        f'<td class="z">{weight}</td><td class="w">{layout.short_moment(entry.at, now)}</td></tr>'
    )


def _name(entry: Entry) -> str:
    """Whom it is from, in short: the name before the address, if there is one."""
    name, _, address = entry.shown_sender.rpartition("<")
    return name.strip(" \"'") or address.strip("<> ")


def _headline(entry: Entry) -> str:
    """The subject; of what was not taken, what was said instead."""
    if entry.verdict == REFUSED:
        return f'<span class="said">{escape(entry.reply)} <i>(at {escape(entry.stage)})</i></span>'
    if not entry.body_id:
        return f'<span class="said">Given up by the client <i>(after {escape(entry.stage)})</i></span>'
    subject = escape(entry.subject) or "<i>no subject</i>"
    return subject if entry.verdict == ACCEPTED else f'{subject} <span class="said">no answer given</span>'


def _pager(listing: Listing) -> str:
    links = []
    if not listing.is_first:
        links.append(f'<a href="{layout.link("/", {"q": listing.words})}">Newest</a>')
    if listing.page.following is not None:
        query = {"q": listing.words, "before": str(listing.page.following)}
        links.append(f'<a class="older" href="{layout.link("/", query)}">Older →</a>')
    return f'<nav class="pager">{"".join(links)}</nav>' if links else ""


def _help() -> str:
    rows: Sequence[str] = [f"<dt><code>{escape(term)}</code></dt><dd>{means}</dd>" for term, means in _HELP]
    return (
        f'<details class="help"><summary>How to search</summary><dl>{"".join(rows)}</dl>'
        f"<p>{_KEYS}</p></details>"
    )
