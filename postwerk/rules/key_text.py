"""The text of an API key: `pw_<prefix>_<secret and checksum>`.

`pw_` and the checksum let a scanner find a key that was committed by mistake, and tell one that was copied
badly. The prefix is no secret: a key is looked up and recognised by it. The secret has 256 bits.
"""

from __future__ import annotations

import hashlib
import re
import zlib

PREFIX_OCTETS, SECRET_OCTETS = 7, 32
"""Random octets that a new key is made of."""
KEY_PATTERN = r"pw_[0-9a-hjkmnp-tv-z]{10}_[0-9A-Za-z]{49}"
"""For secret scanners."""
_KEY = re.compile(rf"(?:{KEY_PATTERN})", re.ASCII)
_BASE_32 = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX_LETTERS, _SECRET_LETTERS, _CHECK_LETTERS = 10, 43, 6
_PREFIX_LENGTH = len("pw_") + _PREFIX_LETTERS


def new_key(public: bytes, secret: bytes) -> str:
    """A key of PREFIX_OCTETS and SECRET_OCTETS random octets."""
    assert (len(public), len(secret)) == (PREFIX_OCTETS, SECRET_OCTETS)
    prefix = _written(int.from_bytes(public), _BASE_32, _PREFIX_LETTERS)
    body = f"pw_{prefix}_{_written(int.from_bytes(secret), _BASE_62, _SECRET_LETTERS)}"
    return body + _checksum(body)


def prefix_of(key: str) -> str | None:
    """`pw_<prefix>` of a whole key; None for what is no key or was copied badly."""
    if not _KEY.fullmatch(key) or _checksum(key[:-_CHECK_LETTERS]) != key[-_CHECK_LETTERS:]:
        return None
    return key[:_PREFIX_LENGTH]


def digest_of(key: str) -> str:
    """SHA-256 in hex: what is stored. A slow hash is for words of people, not for 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _written(zlib.crc32(body.encode()), _BASE_62, _CHECK_LETTERS)


def _written(number: int, alphabet: str, letters: int) -> str:
    """The number's last `letters` digits in the base of the alphabet."""
    digits = []
    for _ in range(letters):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
