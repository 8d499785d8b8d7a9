"""The header fields of a mail and other words of strangers, made readable; nothing raises."""

from __future__ import annotations

import email
import email.policy

from postwerk.sandbox.entries import readable

# Decoding a longer one takes seconds, and nobody writes it in earnest.
_LONGEST_DECODED = 10_000


def read_headers(raw: bytes) -> list[tuple[str, str, str]]:
    """All header fields in their order: name, value decoded, value as it came."""
    try:
        return [(printable(name), decoded(value), printable(value)) for name, value in raw_fields(raw)]
    except Exception:  # noqa: BLE001 - on a broken mail almost anything; its source can still be seen
        return []


def raw_fields(raw: bytes) -> list[tuple[str, str]]:
    """Names and values as they came; bytes that are not ASCII stand in them as lone surrogates."""
    return list(email.message_from_bytes(head(raw), policy=email.policy.compat32).raw_items())


def head(raw: bytes) -> bytes:
    """Header and the empty line behind it."""
    return raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def decoded(value: str) -> str:
    """One value, unfolded and its encoded words (RFC 2047) read."""
    unfolded = printable(" ".join(value.split()))
    return unfolded if len(unfolded) > _LONGEST_DECODED else printable(readable(unfolded))


def printable(text: str) -> str:
    """With plain line ends, and without lone surrogates: read as UTF-8 where they stand for bytes of it."""
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # one that stands for no byte
        content = text.encode("utf-8", "replace")
    return content.decode("utf-8", "replace").replace("\r\n", "\n")
