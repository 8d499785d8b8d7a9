"""The text of an HTML body, for who reads mail without: in one pass over its tags, whatever they are worth.

No tree is built: parsers take 46 s for 100,000 elements in each other, and some of them the whole process.
"""

from __future__ import annotations

import re
from html import unescape

# What begins like a tag is matched possessively, and the last alternative takes all the rest: a quote that
# nobody closes is looked through once, not once more from each "<" behind it.
_TOKEN = re.compile(
    r"""<!--.*?-->
    |<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?P<attributes>(?:[^>"']++|"[^"]*+"|'[^']*+')*+)>
    |<[!?/][^>]*+>
    |<[a-zA-Z!?/].*+""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""(?:^|(?<=[\s"'/]))(href|alt|style|hidden)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""", re.I
)
_SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u200b-\u200f\u2060\ufeff]+")
"""What fills up the preview line of mail programs."""
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_SHOWN_URL = re.compile(r"(?:https?|mailto|tel|sms|ftp):", re.I)

_UNREAD = "head title style script template noscript svg object iframe select textarea"
_CHARACTERS_ONLY = "style script title textarea iframe"
_ENDLESS = "area base br col embed hr img input link meta source wbr"
_LINES = """
    address article aside body caption center dd div dt fieldset figcaption figure footer form header legend
    li main nav section tbody tfoot thead tr
"""
_PARAGRAPHS = "p h1 h2 h3 h4 h5 h6 ul ol dl table blockquote pre"
_NO_TEXT = frozenset(_UNREAD.split())
_RAW = frozenset(_CHARACTERS_ONLY.split())
"""In these nothing but their own end is a tag (HTML 13.1.2)."""
_EMPTY = frozenset(_ENDLESS.split())
_LINE = frozenset(_LINES.split())
_PARAGRAPH = frozenset(_PARAGRAPHS.split())


def text_of(html: str) -> str:
    """Paragraphs and lines as they would be seen; a link as `words <address>`, an image as its `alt`."""
    writer = Writer()
    walk(html, writer)
    return writer.text()


def tidy(text: str) -> str:
    """Without the empty lines that parts of a template leave where they show nothing."""
    return _EMPTY_LINES.sub("\n\n", text).lstrip("\n") if "\n\n\n" in text or text.startswith("\n") else text


def walk(html: str, writer: Writer) -> None:
    """Tell the writer of words, openings and closings, in their order."""
    position = 0
    while token := _TOKEN.search(html, position):
        writer.words(html, position, token.start())
        position = token.end()
        name = (token["name"] or "").lower()
        if token["close"]:
            writer.close(name)
        elif name:
            writer.open(name, token["attributes"])
            if name in _RAW:
                position = _end_of_raw(html, name, position)
                writer.close(name)
    writer.words(html, position, len(html))


def _end_of_raw(html: str, name: str, position: int) -> int:
    ends = re.compile(f"</{name}", re.I).search(html, position)
    return ends.start() if ends else len(html)


class Writer:
    """Collects words and the breaks between them."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._breaks = 2
        """Line ends to write before the next word; so many stand before the first."""
        self._started = False
        self._space = False
        self._skipped = ""
        """Inside an element of this name nothing is seen, ..."""
        self.skips = 0
        self.verbatim = 0
        self.links: list[tuple[str, int]] = []
        """Addresses of links that are open, and where their words begin."""
        self.lists: list[int] = []
        """Number of the last item of each list that is open; -1 for one with dots."""

    def words(self, html: str, start: int, stop: int) -> None:
        if start == stop or self.skips:
            return
        words = html[start:stop]
        if "&" in words:
            words = unescape(words)
        if not words.isascii():
            words = _UNSEEN.sub("", words)
        if self.verbatim:
            self.write(words.replace("\r\n", "\n"))
            return
        plain = _SPACE.sub(" ", words)
        if plain.startswith(" "):
            self._space = True
        if bare := plain.strip(" "):
            self.write(bare)
            self._space = plain.endswith(" ")

    def open(self, name: str, attributes: str) -> None:
        if self.skips:
            self.skips += name == self._skipped
            return
        values = _attributes(attributes) if attributes else {}
        if name in _NO_TEXT or "hidden" in values or _HIDDEN.search(values.get("style", "")):
            if name not in _EMPTY:
                self._skipped, self.skips = name, 1
            return
        self._break_for(name)
        if name == "a":
            self.links.append((values.get("href", "").strip(), len(self._pieces)))
        elif name == "img":
            self._image(values.get("alt", ""))
        elif name in ("ul", "ol"):
            self.lists.append(0 if name == "ol" else -1)
        elif name == "li":
            self._item()
        elif name == "pre":
            self.verbatim += 1

    def close(self, name: str) -> None:
        if self.skips:
            self.skips -= name == self._skipped
            return
        if name == "a" and self.links:
            self._end_link(*self.links.pop())
        elif name in ("ul", "ol") and self.lists:
            self.lists.pop()
        elif name == "pre" and self.verbatim:
            self.verbatim -= 1
        if name != "br":
            self._break_for(name)

    def text(self) -> str:
        """It ends with a line end, unless it is empty."""
        text = "".join(self._pieces)
        return text + "\n" if text else ""

    def _break_for(self, name: str) -> None:
        if name in _PARAGRAPH:
            self._breaks = max(self._breaks, 1 if name in ("ul", "ol") and len(self.lists) > 1 else 2)
        elif name in _LINE:
            self._breaks = max(self._breaks, 1)
        elif name == "br":
            self._breaks = min(self._breaks + 1, 2)
        elif name == "hr":
            self._breaks = 2
            self.write("---")
            self._breaks = 2
        elif name in ("td", "th"):
            self._space = True

    def write(self, words: str) -> None:
        self.put(words)
        self._started = True

    def put(self, piece: str) -> None:
        """Behind the break or space that is due; what is not seen itself is no beginning of the text."""
        if self._breaks and self._started:
            self._pieces.append("\n" * self._breaks)
        elif self._space and self._started:
            self._pieces.append(" ")
        self._pieces.append(piece)
        self._breaks, self._space = 0, False

    def _image(self, alt: str) -> None:
        if words := _SPACE.sub(" ", alt).strip():
            self.write(words)

    def _item(self) -> None:
        mark = "*"
        if self.lists and self.lists[-1] >= 0:
            self.lists[-1] += 1
            mark = f"{self.lists[-1]}."
        self.write("  " * (min(len(self.lists), 9) - 1) + mark)
        self._space = True

    def _end_link(self, address: str, begin: int) -> None:
        """RFC 3986 C: an address in angle brackets stays one, whatever stands around it."""
        if not self.is_shown(address):
            return
        address = _SPACE.sub("%20", address)
        shown = (
            address.partition(":")[2] if address.lower().startswith(("mailto:", "tel:", "sms:")) else address
        )
        if "".join(self._pieces[begin:]).strip() not in (address, shown):
            self._space = bool(self._pieces)
            self.write(f"<{shown}>")

    def is_shown(self, address: str) -> bool:
        """Not what leads to another place of the same mail."""
        return _SHOWN_URL.match(address) is not None


def _attributes(written: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(written):
        value = double or single or bare
        found.setdefault(name.lower(), unescape(value) if "&" in value else value)
    return found
