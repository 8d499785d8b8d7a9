"""What one recipient would get: rendered as for a send, but a missing value is told instead of ending it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from postwerk.contracts.content import Content, MailIdentity, Recipient
from postwerk.errors import ContentError
from postwerk.mime.composer import Composer
from postwerk.mime.html_text import text_of, tidy
from postwerk.mime.styles import inlined
from postwerk.mime.templates import MAX_BODY, MAX_LINE, OneTemplate, context_of, weigh_all
from postwerk.rules.lacking import lacking

_IDENTITY = MailIdentity("bulk_" + "0" * 32, datetime(2026, 1, 1, tzinfo=UTC))


@dataclass(slots=True)
class Preview:
    """`errors`: JSON pointer of a part, and why it cannot be made."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    undefined: set[str] = field(default_factory=set)
    errors: dict[str, ContentError] = field(default_factory=dict)
    size: int | None = None


def preview(content: Content, recipient: Recipient) -> Preview:
    """Every part by itself. Raises ContentError for variables that no message may have."""
    context = context_of(content, recipient)
    weight = weigh_all(content, recipient)
    found = Preview()

    def part(pointer: str, source: str | None, limit: int, *, html: bool = False) -> str | None:
        return None if source is None else _part(found, pointer, source, limit, context, weight, html=html)

    found.subject = part("#/subject", content.subject, MAX_LINE)
    found.html = part("#/html", content.html, MAX_BODY, html=True)
    text = part("#/text", content.text, MAX_BODY)
    for name, value in content.headers.items():
        shown = part(f"#/headers/{name}", value, MAX_LINE)
        if shown:
            found.headers[name] = shown
    if content.text_from_html and found.html is not None:
        text = text_of(found.html) if text is None else tidy(text)
    found.text = text
    if content.inline_css and found.html is not None:
        found.html = _styled(found, found.html)
    if not found.undefined and not found.errors:
        found.size = _size(found, content, recipient)
    return found


def _part(
    found: Preview,
    pointer: str,
    source: str,
    limit: int,
    context: dict[str, Any],
    weight: int,
    *,
    html: bool,
) -> str | None:
    strict = OneTemplate(source, limit, html=html)
    try:
        return strict.render(context, weight)
    except ContentError as error:
        if error.code != "undefined_variable":
            found.errors[pointer] = error
            return None
        found.undefined |= lacking(strict.names(), context) or {str(error.message)}
    try:
        return OneTemplate(source, limit, html=html, lenient=True).render(context, weight)
    except ContentError as error:
        found.errors[pointer] = error
        return None


def _styled(found: Preview, html: str) -> str | None:
    try:
        return inlined(html)
    except ContentError as error:
        found.errors["#/html"] = error
        return None


def _size(found: Preview, content: Content, recipient: Recipient) -> int | None:
    """Also the last check: a header may be too long, or hold a line break, only with its values."""
    try:
        return Composer(content.without_files(), _IDENTITY).mail(recipient).size
    except ContentError as error:
        found.errors["#"] = error
        return None
