"""What the sandbox says of its own accord; for addresses see `behaviour`, for domains their rules."""

from __future__ import annotations

from postwerk.sandbox.behaviour import Answer, Kind

NAME = "sandbox.postwerk.test"

BANNER = Answer(220, f"{NAME} ESMTP Postwerk sandbox")
MAIL_OK = Answer(250, "2.1.0 Ok")
RCPT_OK = Answer(250, "2.1.5 Ok")
GO_AHEAD = Answer(354, "Go ahead, end with a dot on a line of its own")
WHO_ARE_YOU = Answer(501, "5.5.4 Say who you are")
UNKNOWN = Answer(500, "5.5.2 Command not recognised")
NOT_OFFERED = Answer(502, "5.5.1 Command not offered here")
BAD_SEQUENCE = Answer(503, "5.5.1 Bad sequence of commands")
UNKNOWN_MECHANISM = Answer(504, "5.5.4 Mechanism not offered here")
LOGIN_FIRST = Answer(530, "5.7.0 Authentication required")
NO_ARGUMENT = Answer(501, "5.5.4 This command takes no argument")
NO_RECIPIENTS = Answer(554, "5.5.1 No valid recipients")
TOO_MANY_RECIPIENTS = Answer(452, "4.5.3 Too many recipients")
TOO_MANY_CONNECTIONS = Answer(421, "4.7.0 Too many connections, try again later")
CONNECTION_TOO_FAST = Answer(421, "4.7.0 Too many messages on this connection, slow down")
DOMAIN_TOO_FAST = Answer(450, "4.7.1 Too many messages for this domain, slow down")
BYE = Answer(221, "2.0.0 Bye", closes=True)
NOT_STORED = Answer(452, "4.3.1 The ledger could not be written")
DROPPED_AT_DATA = Answer(0, "Connection dropped at DATA, as the address asked", closes=True)
NO_REPLY_ASKED = {
    Kind.HANG_AFTER_DOT: Answer(0, "No answer, as the address asked"),
    Kind.DROP_AFTER_DOT: Answer(0, "Connection dropped, as the address asked", closes=True),
}
