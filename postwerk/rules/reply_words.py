"""What of a server's reply may leave the archive: its code and words that say nothing about anybody.

A server may quote the recipient, the sender, the subject or a piece of the body. So words are let through
by a list of those that replies are made of (reply_words.txt), not kept back by a list of secrets.
"""

from __future__ import annotations

import re
from importlib.resources import files

LONGEST = 200
"""Characters that a workflow's history is burdened with; the archive keeps the whole reply."""
HIDDEN = "…"

_PLAIN = frozenset(files("postwerk.rules").joinpath("reply_words.txt").read_text("utf-8").split())
_CODE = re.compile(r"[2-5]\d\d|[245]\.\d{1,3}\.\d{1,3}|\d{1,3}")


def plain_words(said: str) -> str:
    """The reply on one line, each word that is not on the list hidden.

    >>> plain_words("451 4.7.1 <ada@example.com>: 'Spring news' looks like spam, try again in 300 seconds")
    '451 4.7.1 … looks … spam, try again in 300 seconds'
    """
    kept: list[str] = []
    for word in said.split():
        bare = word.strip(".,:;!()[]").lower()
        shown = word if bare in _PLAIN or _CODE.fullmatch(bare) else HIDDEN
        if shown != HIDDEN or kept[-1:] != [HIDDEN]:
            kept.append(shown)
    return " ".join(kept)[:LONGEST]
