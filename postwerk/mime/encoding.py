"""How text becomes 7-bit bytes: encoded words (RFC 2047), folded lines, quoted-printable (RFC 2045 6.7)."""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from functools import lru_cache

LINE = 76
"""RFC 2047 2: a line that holds an encoded word has at most 76 characters."""
_AROUND_WORD = len("=?utf-8?b??=")
_WORD = 75 - _AROUND_WORD
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q_SHORT = _Q_SAFE | {0x20}
_BREAKABLE = re.compile(r"(?<=[^ ]) (?=[^ ])")

_OVERLONG = re.compile(rb"(?m)^([^\r\n]{74,})(=20|=09)\r$")


def fold(name: str, value: str) -> str:
    """`Name: value`, broken only where a single space already stands (RFC 5322 2.2.3)."""
    line = f"{name}: {value}"
    if len(line) <= LINE:
        return line
    lines = [f"{name}:"]
    for word in _BREAKABLE.split(value):
        # The header's first word stays beside its name: many readers dislike an empty first line.
        if len(lines[-1]) + 1 + len(word) > LINE and len(lines[-1]) > len(name) + 1:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def encode_words(value: str, first_line_used: int) -> str:
    """The value as encoded words, one a line; the shorter of B and Q, and never a character cut in two."""
    data = value.encode()
    sizes = [sum(1 if byte in _Q_SHORT else 3 for byte in character.encode()) for character in value]
    in_q = sum(sizes) <= len(data) * 4 / 3
    if not in_q:
        sizes = [len(character.encode()) for character in value]
    encode, letter = (_q_word, "q") if in_q else (_b_word, "b")
    chunks = _chunks(value, sizes, LINE - first_line_used - _AROUND_WORD, in_q)
    return "\r\n ".join(f"=?utf-8?{letter}?{encode(chunk)}?=" for chunk in chunks)


def _chunks(value: str, sizes: list[int], first_room: int, in_q: bool) -> list[str]:
    """The value cut so that each piece, encoded, has room; `sizes` are octets each character needs."""
    room = max(min(first_room, _WORD), 16)
    chunks, start, used = [], 0, 0
    limit = room if in_q else room // 4 * 3
    for position, size in enumerate(sizes):
        if used + size > limit and used:
            chunks.append(value[start:position])
            start, used = position, 0
            limit = _WORD if in_q else _WORD // 4 * 3
        used += size
    return [*chunks, value[start:]]


def quoted_printable(text: str) -> bytes:
    """The text as CRLF lines of at most 76 octets; it ends with a line break, as a mail's body must."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return b"".join([_known_line(line) if len(line) <= _KEPT else _line(line) for line in lines])


def _line(line: str) -> bytes:
    # b2a_qp takes its kind of soft line break from the first line break it sees: there must be one.
    encoded = binascii.b2a_qp(line.encode() + b"\r\n", istext=True)
    return _without_traps(_without_overlong(encoded))


_KEPT = 200
"""Characters of the longest line whose encoding is kept: most lines of a bulk send are alike for all."""
_known_line = lru_cache(maxsize=1024)(_line)


def _without_overlong(encoded: bytes) -> bytes:
    """RFC 2045 6.7 (5): b2a_qp does not count that a line's last space grows when it is encoded."""
    if b"=20\r\n" in encoded or b"=09\r\n" in encoded:
        return _OVERLONG.sub(rb"\1=\r\n\2\r", encoded)
    return encoded


def _without_traps(encoded: bytes) -> bytes:
    """RFC 2049 3: a line "." ends the mail at a careless gateway; "From " gets a ">" in mbox files."""
    if b"\n.\r\n" in encoded or encoded.startswith(b".\r\n"):
        encoded = re.sub(rb"(?m)^\.\r$", b"=2E\r", encoded)
    if b"\nFrom " in encoded or encoded.startswith(b"From "):
        # With a soft break behind, the line cannot grow beyond its 76 octets.
        encoded = re.sub(rb"(?m)^From ", b"=46=\r\nrom ", encoded)
    return encoded


def _q_word(text: str) -> str:
    return "".join(
        chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in text.encode()
    )


def _b_word(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")
