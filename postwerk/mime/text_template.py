"""A text template made from an HTML template, once for a whole send: its conditions and loops survive.

A tenth of what it takes to make the text from each message's HTML. It is made where it surely says the same;
else `text_template` answers None, and html_text.py does it message by message.
"""

from __future__ import annotations

import re

from postwerk.errors import InvalidRequest
from postwerk.mime.html_text import Writer, walk
from postwerk.mime.template_language import tag_spans
from postwerk.mime.templates import MAX_BODY_SOURCE, check_source

# One private character on each side: a mark stands in a text, an address or a tag like any other word.
_MARK = re.compile("\ue000(\\d+)\ue001")
_OPEN, _BETWEEN, _CLOSE = ("if", "for", "with"), ("elif", "else"), ("endif", "endfor", "endwith")
_KEYWORD = re.compile(r"\{%[-+]?\s*(\w+)")
_UNSURE = re.compile(r"\|\s*(?:safe|tojson|e|escape|striptags)\b|\A\{\{-|-\}\}\Z")
"""What is written as HTML by its variable, or swallows the space around it."""


class _Unsure(Exception):
    """Whether text and HTML would say the same depends on the values."""


def text_template(source: str) -> str | None:
    """The template of the text, or None where it cannot be told. Raises ContentError for a broken one."""
    spans = tag_spans(source)
    tags = [source[start:stop] for start, stop in spans]
    if "\ue000" in source or "{#" in source or any(map(_UNSURE.search, tags)):
        return None
    writer = _TemplateWriter(tags)
    try:
        walk(_marked(source, spans), writer)
        text = writer.template()
        check_source("#/text", text, MAX_BODY_SOURCE)
    except (_Unsure, InvalidRequest):
        return None
    return text


def _marked(source: str, spans: list[tuple[int, int]]) -> str:
    pieces, position = [], 0
    for number, (start, stop) in enumerate(spans):
        pieces += [source[position:start], f"\ue000{number}\ue001"]
        position = stop
    return "".join((*pieces, source[position:]))


class _TemplateWriter(Writer):
    """Writes block tags where they stand, and sees that none is lost or cuts through a link or list."""

    def __init__(self, tags: list[str]) -> None:
        super().__init__()
        self._tags = tags
        self._blocks: list[tuple[int, int, int]] = []

    def words(self, html: str, start: int, stop: int) -> None:
        position = start
        for mark in _MARK.finditer(html, start, stop):
            if self._is_block(mark):
                super().words(html, position, mark.start())
                self._block(int(mark[1]))
                position = mark.end()
        super().words(html, position, stop)

    def open(self, name: str, attributes: str) -> None:
        if not self.skips and _MARK.search(attributes):
            self._insist_on_known(attributes)
        if name == "li" and self.lists and self.lists[-1] >= 0 and self._begun_within_list():
            raise _Unsure  # how many times is it there?
        super().open(name, attributes)

    def is_shown(self, address: str) -> bool:
        return address.startswith("\ue000") or super().is_shown(address)

    def template(self) -> str:
        """Raises _Unsure when a block tag was left out with what stood around it."""
        written = self.text()
        shown = {int(number) for number in _MARK.findall(written)}
        if any(tag.startswith("{%") and number not in shown for number, tag in enumerate(self._tags)):
            raise _Unsure
        return _MARK.sub(lambda mark: _without_marker(self._tags[int(mark[1])]), written)

    def _is_block(self, mark: re.Match[str]) -> bool:
        return self._tags[int(mark[1])].startswith("{%")

    def _block(self, number: int) -> None:
        keyword = _KEYWORD.match(self._tags[number])
        word, here = keyword[1] if keyword else "", (len(self.links), len(self.lists), self.verbatim)
        if word in _OPEN:
            self._blocks.append(here)
        elif word in (*_BETWEEN, *_CLOSE) and (not self._blocks or self._blocks[-1] != here):
            raise _Unsure
        if word in _CLOSE:
            self._blocks.pop()
        if not self.skips:
            self.put(f"\ue000{number}\ue001")

    def _begun_within_list(self) -> bool:
        return any(lists >= len(self.lists) for _links, lists, _verbatim in self._blocks)

    def _insist_on_known(self, attributes: str) -> None:
        """What is shown may hang on a value only within an address or an `alt`."""
        rest = re.sub(
            r"""\b(?:href|alt|src|title|class|id)\s*=\s*(?:"[^"]*"|'[^']*')""", "", attributes, flags=re.I
        )
        if _MARK.search(rest):
            raise _Unsure


def _without_marker(tag: str) -> str:
    """`{%- if x -%}` would swallow line ends that mean something now."""
    return re.sub(r"\A\{%[-+]|[-+]%\}\Z", lambda found: found[0].replace("-", "").replace("+", ""), tag)
