"""What of a server's reply may leave the archive: its code and words that say nothing about anybody.

A server may quote the recipient, the sender, the subject or a piece of the body. So words are let through
by a list of those that replies are made of, not kept back by a list of secrets.
"""

from __future__ import annotations

import re

LONGEST = 200
"""Characters that a workflow's history is burdened with; the archive keeps the whole reply."""
HIDDEN = "…"

_PLAIN = frozenset(
    """
    a about accept accepted access action address again all already also always and another any are
    as at authentication bad be because been before blacklisted block blocked bounced busy but by
    can cannot certificate change check client closed closing command complaints configuration
    connect connecting connection connections contact content could credentials currently data day
    days deferred delayed delivered delivery denied destination detected directory disabled
    disconnected disk dns do does domain due error exceeded exist exists expired failed failure few
    first for found from full generic go going greylist greylisted greylisting has have header
    headers helo high host hour hours if in inactive internal invalid ip is it its later limit
    limited limits list listed local looks lookup lost low mail mailbox mailboxes mails maximum may
    message messages minute minutes moment more much must name need no not now of off on once one
    only or our out over per permanent permanently permitted please policies policy poor port
    problem problems process processing protocol quota rate reached receive received receiving
    recipient recipients refused reject rejected relay relaying reply reputation request requested
    require required requires reset resolve resources response retry route says second seconds
    secure see seems send sender senders sending server service session shutting size slow slowly so
    space spam spf start starttls status still storage such suspicious syntax system table
    temporarily temporary than that the their then there this throttled time timed timeout timeouts
    tls to too transaction transactions transient try trying unable unavailable unexpected unknown
    unreachable until unusual up use user users valid verification verify very virus volume wait was
    we while will with within without wrong you your
    """.split()
)
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
