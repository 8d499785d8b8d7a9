"""Styles written into the elements (css-inline): many mail programs take no others. Nothing is fetched."""

from __future__ import annotations

import re
from functools import lru_cache

from css_inline import CSSInliner, InlineError

from postwerk.errors import ContentError
from postwerk.mime.template_language import tag_spans

MOST_TAGS = 5_000
"""The parser's stack ends the process at some 20,000 elements in each other."""
MOST_MATCHES = 200_000
"""Selectors times tags: how many are compared. At most 0.15 s, where the selectors count siblings."""

_STYLE = re.compile(r"<style\b[^>]*+>(.*?)(?:</style|\Z)", re.I | re.S)
_AFTER_ATTRIBUTE = re.compile(
    r"""\b(?:href|src|alt|title|width|height)\s*=\s*(?:"[^"<>]*|'[^'<>]*)\Z""", re.I
)
_UNSURE_FILTERS = re.compile(r"\|\s*(?:safe|tojson)\b")


@lru_cache(maxsize=1)
def _inliner() -> CSSInliner:
    # The style elements stay: what they say of small screens and of what is pointed at fits in no attribute.
    return CSSInliner(
        load_remote_stylesheets=False, keep_style_tags=True, keep_at_rules=True, keep_link_tags=True
    )


def inlined(html: str) -> str:
    """The same document with its styles in the elements. Raises ContentError `html_too_complex`."""
    _insist_on_measure(html)
    try:
        return str(_inliner().inline(html))
    except (InlineError, ValueError) as error:
        raise ContentError(f"the styles cannot be inlined: {str(error)[:200]}", code="invalid_css") from None


def inlined_template(source: str) -> str | None:
    """The template with its styles inlined once, where that surely comes to the same for each message.

    That is when its tags only show values, as text or as an address, and no selector asks for either. None
    when it has to be done message by message. Raises ContentError.
    """
    spans = tag_spans(source)
    if not all(_only_shows(source, start, stop) for start, stop in spans) or _asks_for_values(source):
        return inlined_or_none(source, spans)
    marks = [f"pWq{number}qWp" for number in range(len(spans))]
    if "pWq" in source:
        return inlined_or_none(source, spans)
    pieces, position = [], 0
    for mark, (start, stop) in zip(marks, spans, strict=True):
        pieces += [source[position:start], mark]
        position = stop
    found = inlined("".join((*pieces, source[position:])))
    if re.findall(r"pWq\d+qWp", found) != marks:
        return None
    return re.sub(r"pWq(\d+)qWp", lambda mark: source[slice(*spans[int(mark[1])])], found)


def inlined_or_none(source: str, spans: list[tuple[int, int]]) -> str | None:
    """A document without any tag is inlined as it is; any other is measured, and waits for its values."""
    if not spans:
        return inlined(source)
    _insist_on_measure(source)
    return None


def _insist_on_measure(html: str) -> None:
    tags = html.count("<")
    selectors = sum(1 + css.count("{") + css.count(",") for css in _STYLE.findall(html))
    if tags > MOST_TAGS or selectors * tags > MOST_MATCHES:
        raise ContentError(
            f"more than {MOST_TAGS:,} tags, or {MOST_MATCHES:,} tags times selectors, cannot be inlined",
            code="html_too_complex",
        )


def _only_shows(source: str, start: int, stop: int) -> bool:
    """`{{ value }}` as text between elements, or in an attribute that no style goes by."""
    if source[start + 1] != "{" or _UNSURE_FILTERS.search(source[start:stop]):
        return False
    before = source[max(0, start - 2_000) : start]
    opened = before.rfind("<")
    if opened <= before.rfind(">"):
        return "<style" not in source[:start].lower() or _outside_style(source, start)
    return bool(_AFTER_ATTRIBUTE.search(before[opened:]))


def _outside_style(source: str, start: int) -> bool:
    return not any(found.start(1) <= start < found.end(1) for found in _STYLE.finditer(source))


def _asks_for_values(source: str) -> bool:
    """A selector that looks at attributes or at emptiness would find the mark instead of the value."""
    return any("[" in css or ":empty" in css for css in _STYLE.findall(source))
