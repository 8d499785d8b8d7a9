"""DKIM signatures (RFC 6376, RFC 8463): relaxed/relaxed, RSA and Ed25519, over bytes that are ready to go.

A signature says the same on every attempt: its time is the send's, and both algorithms always answer alike.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from postwerk.mime.dkim_keys import DkimKey

OVERSIGNED = (
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
)
"""Named once more than they stand there: whoever adds another one breaks the signature (RFC 6376 8.15)."""
SIGNED = frozenset(
    {"sender", "in-reply-to", "references", "list-id", "list-help", "list-archive", "list-post"}
    | {"list-owner", "list-subscribe", "feedback-id", "auto-submitted", "precedence", "importance"}
)
"""Signed where they stand; a mailing list may add its own."""
_FOLDED = re.compile(rb"\r\n(?=[ \t])")
_LINE = 72


class Relaxed(bytes):
    """Lines that are in relaxed form as they stand: what many mails share is not looked through for each."""


def signatures(mail: Sequence[bytes], keys: Sequence[DkimKey], at: datetime) -> bytes:
    """The DKIM-Signature lines to stand before `mail`, one for each key; `at` is their time.

    `mail` is the whole message in pieces with CRLF line ends. They are looked at one after the other, so that
    what many messages share is not copied for each.
    """
    if not keys:
        return b""
    head, body = _split(mail)
    fields = _fields(head)
    names, listed = _signed_names(tuple((name, len(lines)) for name, lines in fields.items()))
    signed = b"".join(_signed_lines(fields, names))
    hashed = b64encode(body_hash(body))
    return b"".join(_signature(key, listed, signed, hashed, at) for key in keys)


def body_hash(pieces: Iterable[bytes]) -> bytes:
    """sha256 of the body in relaxed form (RFC 6376 3.4.4): no empty lines at its end, single spaces."""
    digest, empty_lines = sha256(), 0
    written = False
    for piece in _whole_lines(pieces):
        relaxed = relaxed_lines(piece)
        end = len(relaxed)
        while relaxed.endswith(b"\r\n", 0, end):
            end -= 2
        if end:
            digest.update(b"\r\n" * empty_lines)
            digest.update(memoryview(relaxed)[:end])
            written, empty_lines = True, 0
        empty_lines += (len(relaxed) - end) // 2
    if written:
        digest.update(b"\r\n")
    return digest.digest()


def relaxed_lines(lines: bytes) -> bytes:
    """Single spaces, and none at the end of a line; the very same object when there is nothing to do."""
    if isinstance(lines, Relaxed):
        return lines
    if b"\t" in lines:
        lines = lines.replace(b"\t", b" ")
    elif lines.count(b" ") < len(lines) >> 7 and not _has_loose_space(lines):
        return lines  # a file in base64: looking for pairs takes three times as long as hashing it
    while b"  " in lines:
        lines = lines.replace(b"  ", b" ")
    if b" \r\n" in lines:
        lines = lines.replace(b" \r\n", b"\r\n")
    return lines[:-1] if lines.endswith(b" ") else lines


def _has_loose_space(lines: bytes) -> bool:
    """Whether one stands beside another, or at the end of a line. For few spaces."""
    at = lines.find(b" ")
    while at >= 0:
        if lines[at + 1 : at + 2] in (b" ", b"\r", b""):
            return True
        at = lines.find(b" ", at + 1)
    return False


def _whole_lines(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The same with pieces that end in the middle of a line joined to what follows."""
    begun = b""
    for piece in pieces:
        if begun and isinstance(piece, Relaxed) and (end := piece.find(b"\r\n") + 2) > 1:
            yield begun + piece[:end]
            begun, piece = b"", Relaxed(piece[end:])
        whole = begun + piece if begun else piece
        begun = b""
        if whole.endswith(b"\r\n"):
            yield whole
        else:
            begun = whole
    if begun:
        yield begun


def _split(mail: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Header and the pieces of the body; the empty line between them is of neither."""
    head = b""
    for number, piece in enumerate(mail):
        before = len(head)
        head += piece
        end = head.find(b"\r\n\r\n", max(before - 3, 0))
        if end >= 0:
            return head[: end + 2], [head[end + 4 :], *mail[number + 1 :]]
    return head, []


def _fields(head: bytes) -> dict[str, list[bytes]]:
    """Every header by its name in lower case, as a relaxed line (RFC 6376 3.4.2), in their order."""
    fields: dict[str, list[bytes]] = {}
    unfolded = _FOLDED.sub(b"", head) if b"\r\n " in head or b"\r\n\t" in head else head
    for line in unfolded.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            name = name.rstrip(b" \t").lower()
            fields.setdefault(name.decode("ascii"), []).append(
                b"%s:%s\r\n" % (name, relaxed_lines(value).strip(b" "))
            )
    return fields


@lru_cache(maxsize=256)
def _signed_names(present: tuple[tuple[str, int], ...]) -> tuple[tuple[str, ...], bytes]:
    """Which headers are signed, of those that stand there so often; and the same as the value of `h=`."""
    counts = dict(present)
    names = (*OVERSIGNED, *sorted(SIGNED.intersection(counts)))
    listed = [name for name in names for _ in range(counts.get(name, 0) + (name in OVERSIGNED))]
    lines = [""]
    for name in listed:
        if len(lines[-1]) + len(name) + 1 > _LINE:
            lines.append("")
        lines[-1] += f"{name}:"
    return names, "\r\n ".join(lines).removesuffix(":").encode()


def _signed_lines(fields: dict[str, list[bytes]], names: Iterable[str]) -> Iterable[bytes]:
    """As a verifier takes them: of several with one name the last one first (RFC 6376 5.4.2)."""
    for name in names:
        yield from reversed(fields.get(name, ()))


def _signature(key: DkimKey, listed: bytes, signed: bytes, hashed: bytes, at: datetime) -> bytes:
    value = b" v=1; a=%s; c=relaxed/relaxed; d=%s; s=%s;\r\n t=%d; bh=%s;\r\n h=%s;\r\n b=" % (
        key.algorithm.encode(),
        key.domain.encode(),
        key.selector.encode(),
        at.replace(tzinfo=at.tzinfo or UTC).timestamp(),
        hashed,
        listed,
    )
    itself = b"dkim-signature:" + value.lstrip().replace(b"\r\n", b"")
    written = b64encode(key.sign(signed + itself))
    lines = [written[start : start + _LINE] for start in range(0, len(written), _LINE)]
    return b"DKIM-Signature:%s%s\r\n" % (value, b"\r\n ".join(lines))
