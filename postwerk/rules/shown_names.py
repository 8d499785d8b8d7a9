"""What of a name that a sender gave may stand in Temporal: what may be an address or a link stays out."""

from __future__ import annotations

import re

LONGEST = 120
"""Octets: beside it a summary has room for counts and pace."""
_ADDRESS_OR_LINK = re.compile(r"@|\N{FULLWIDTH COMMERCIAL AT}|://|\bwww\.|%40", re.IGNORECASE)
_CUT = "…"
_PLAIN = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›", "`": "'", "|": "/", "\\": "/"})


def shown_name(name: str) -> str:
    """On one line, without Markdown's brackets, 120 octets at most; "" if it might say who somebody is.

    >>> shown_name("spring-news"), shown_name("mail to ada@example.com"), shown_name("see [this] <b>")
    ('spring-news', '', 'see (this) ‹b›')
    """
    if _ADDRESS_OR_LINK.search(name):
        return ""
    return cut(" ".join(name.translate(_PLAIN).split()), LONGEST)


def cut(words: str, octets: int) -> str:
    """At most so many octets of UTF-8, never half a character.

    >>> cut("día", 3), cut("día", 4), cut("días de mercado", 7)
    ('…', 'día', 'día…')
    """
    if len(words.encode()) <= octets:
        return words
    room = octets - len(_CUT.encode())
    return words.encode()[:room].decode(errors="ignore").rstrip() + _CUT
