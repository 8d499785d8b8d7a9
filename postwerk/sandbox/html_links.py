"""The links of a mail's HTML: its frame follows none, so they stand beside it."""

from __future__ import annotations

from html.parser import HTMLParser

_MOST = 100
_LONGEST = 2000


def links_of(html: str) -> list[str]:
    """Where its links lead on the web, each once, in order."""
    found = _Links()
    found.feed(html)
    return list(found.links)[:_MOST]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = (dict(attrs).get("href") or "").strip()
        is_web = address.lower().startswith(("http://", "https://"))
        if tag in ("a", "area") and is_web and len(address) <= _LONGEST:
            self.links[address.encode("utf-8", "replace").decode()] = None
