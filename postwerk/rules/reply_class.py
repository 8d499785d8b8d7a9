"""What the end of an SMTP transaction means: for the recipient, the lane, the send, the suppression list.

Decided once, here, by the rows of replies.toml: by stage first, then by the first digit (RFC 5321 4.2.1),
then by the enhanced code (RFC 3463); words only refine. The first row that fits decides.
"""

from __future__ import annotations

import re
from dataclasses import replace

from postwerk.contracts.smtp import Exchange, Trouble
from postwerk.rules.decision import BulkEffect, Decision, Effect, LaneEffect
from postwerk.rules.hints import retry_hint
from postwerk.rules.reply_table import load_replies

__all__ = ["BulkEffect", "Decision", "Effect", "LaneEffect", "classify"]

_TABLE = load_replies()
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")


def classify(exchange: Exchange) -> Decision:
    """The decision of the first row that fits. A delivery is found without looking at any text."""
    reply = exchange.reply
    rows = _TABLE.replies.get((exchange.stage, reply.code)) if reply else None
    if reply is None or rows is None:  # a code outside 200-599 is no SMTP (RFC 5321 4.2.1)
        return _TABLE.troubles[exchange.stage, exchange.trouble or Trouble.PROTOCOL, exchange.dot_written]
    if rows[0].always and reply.code < 400:
        return rows[0].decision
    words = _plain(reply.text)
    decision = next(row.decision for row in rows if row.fits(reply, words))
    hint = retry_hint(words) if reply.code < 500 else None
    return replace(decision, hint=hint) if hint else decision


def _plain(text: str) -> str:
    """The reply on one line, without addresses and enhanced codes: "no_such_user@..." must not decide."""
    return " ".join(word for word in text.split() if "@" not in word and not _ENHANCED.fullmatch(word))
