"""What the end of an SMTP transaction means for the recipient and for the lane. Decided once, here.

By stage first, then by the first digit (RFC 5321 4.2.1), then by what is known of the code. A table:
the first row that fits decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from postwerk.contracts.smtp import SESSION_STAGES, Exchange, Stage, Trouble


class Effect(StrEnum):
    """What becomes of the recipient."""

    DELIVER = "deliver"
    RETRY = "retry"
    """Deferred; counts for the retry schedule."""
    WAIT = "wait"
    """Not this recipient's fault (host down, our settings): costs nobody an attempt (P5)."""
    BOUNCE = "bounce"
    FAIL = "fail"
    """Ours: no server will ever take it as it is."""
    AMBIGUOUS = "ambiguous"
    """The dot was written and no reply was read (RFC 1047): nobody knows."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The effect, and a stable name for its reason."""

    effect: Effect
    reason: str


@dataclass(frozen=True, slots=True)
class _Row:
    fits: Callable[[Exchange], bool]
    decision: Decision


def _digit(exchange: Exchange) -> int:
    return exchange.reply.code // 100 if exchange.reply else 0


def _code(exchange: Exchange, code: int, *stages: Stage) -> bool:
    return exchange.reply is not None and exchange.reply.code == code and exchange.stage in stages


_TABLE = (
    # A 2yz to the dot and nothing less: the next server has taken responsibility (RFC 5321 4.2.5).
    _Row(lambda e: e.stage is Stage.DOT and _digit(e) == 2, Decision(Effect.DELIVER, "delivered")),
    _Row(lambda e: e.dot_written and e.reply is None, Decision(Effect.AMBIGUOUS, "no_reply_after_dot")),
    # Before MAIL nothing is about a recipient: host, TLS or our own password.
    _Row(
        lambda e: e.stage in SESSION_STAGES and e.trouble is Trouble.CERTIFICATE,
        Decision(Effect.WAIT, "tls_certificate"),
    ),
    _Row(lambda e: e.stage is Stage.AUTH, Decision(Effect.WAIT, "our_credentials")),
    _Row(lambda e: e.stage in SESSION_STAGES, Decision(Effect.WAIT, "no_connection")),
    _Row(lambda e: e.trouble is Trouble.LOCAL, Decision(Effect.FAIL, "too_large_or_unsupported")),
    _Row(lambda e: e.trouble is not None, Decision(Effect.RETRY, "connection_lost")),
    # The server closes the channel (RFC 5321 3.8): about the host, not the recipient; here it still counts.
    _Row(lambda e: e.reply is not None and e.reply.code == 421, Decision(Effect.RETRY, "service_closing")),
    # RFC 5321 4.5.3.1.10: a 552 to RCPT means "too many recipients" and is temporary.
    _Row(lambda e: _code(e, 552, Stage.RCPT), Decision(Effect.RETRY, "too_many_recipients")),
    _Row(lambda e: _digit(e) == 4, Decision(Effect.RETRY, "refused_for_now")),
    _Row(lambda e: _digit(e) == 5 and e.stage is Stage.RCPT, Decision(Effect.BOUNCE, "recipient_refused")),
    _Row(lambda e: _digit(e) == 5 and e.stage is Stage.MAIL, Decision(Effect.BOUNCE, "sender_refused")),
    _Row(lambda e: _digit(e) == 5, Decision(Effect.BOUNCE, "message_refused")),
)
_OUT_OF_STEP = Decision(Effect.RETRY, "unexpected_reply")
"""2yz or 3yz where none belongs: the server is out of step; another connection may do better."""


def classify(exchange: Exchange) -> Decision:
    """The decision of the first row that fits."""
    for row in _TABLE:
        if row.fits(exchange):
            return row.decision
    return _OUT_OF_STEP
