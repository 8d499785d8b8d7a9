"""The bytes between DATA and the final dot: what may stand there, and how dots are taken out again."""

from __future__ import annotations

from postwerk.sandbox.behaviour import Answer

END_OF_DATA = b"\r\n.\r\n"
"""RFC 5321 4.1.1.4: this and nothing like it. `\\n.\\n` and its kin smuggle mail (CVE-2023-51764)."""

# RFC 5321 4.5.3.1.6: 1000 octets including CRLF, not counting the dot that stuffing put in front.
_LONGEST_LINE = 998

BARE_LINE_END = Answer(554, "5.6.11 Bare CR or bare LF in the message, lines end with CRLF")
LINE_TOO_LONG = Answer(554, "5.6.0 A line is longer than 1000 octets")
TOO_LARGE = Answer(552, "5.3.4 Message is larger than this server takes")


def fault_in(message: bytes) -> Answer | None:
    """Why these bytes (dots already taken out) are no proper message, or None."""
    ends = message.count(b"\r\n")
    if message.count(b"\n") != ends or message.count(b"\r") != ends:
        return BARE_LINE_END
    if len(message) > _LONGEST_LINE and max(map(len, message.split(b"\r\n"))) > _LONGEST_LINE:
        return LINE_TOO_LONG
    return None


def without_stuffing(wire: bytes) -> bytes:
    """Undo dot-stuffing (RFC 5321 4.5.2); `wire` starts with the CRLF that ended the DATA line."""
    return wire.replace(b"\r\n.", b"\r\n")[2:] if b"\r\n." in wire else wire[2:]


def with_stuffing(message: bytes) -> bytes:
    """The inverse: as it goes over the wire, without the final dot, each line of it ended (RFC 1939 3)."""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if message.startswith(b".") else stuffed
