"""Signed tokens that mail carries out and the world brings back: bounce addresses and unsubscribe links.

Nobody can make one who does not know a secret, so that a forged bounce or a guessed link changes nothing.
A token holds ids, never an address. Letters and digits of one case only: mail servers lower the case of
local parts.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

BOUNCE_VALID = timedelta(days=30)
"""A deadline of at most seven days, and bounces of servers that tried another five, with time to spare."""
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, as in ids
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_BULK = "bulk_"
_ID_LETTERS = 26
_MAC_LETTERS = 20
"""100 bits."""
_DAY_ONE = date(2020, 1, 1)
_BOUNCE, _UNSUBSCRIBE = "b", "u"
"""What a token is for: one kind is never taken for the other."""


class Secret(NamedTuple):
    """32 octets under a number from 0 to 31."""

    number: int
    octets: bytes


class TokenOf(NamedTuple):
    """The message a valid token names."""

    bulk_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signs with the first secret, believes them all."""

    secrets: Sequence[Secret]

    def bounce_local_part(self, bulk_id: str, seq: int, day: date) -> str:
        """`b-...`: the local part of a message's envelope sender (VERP).

        At most 64 octets (RFC 5321 4.5.3.1.1).
        """
        return f"b-{self._signed(_BOUNCE, bulk_id, seq, day)}"

    def read_bounce(self, local_part: str, today: date) -> TokenOf | None:
        """The message it was made for; None for one that is forged, damaged or older than BOUNCE_VALID."""
        kind, _, token = local_part.lower().partition("-")
        found = self._read(_BOUNCE, token) if kind == "b" else None
        if found is None:
            return None
        message, day = found
        return message if day - timedelta(days=2) <= today <= day + BOUNCE_VALID else None

    def unsubscribe(self, bulk_id: str, seq: int) -> str:
        """For the link in List-Unsubscribe; it works as long as its secret is kept."""
        return self._signed(_UNSUBSCRIBE, bulk_id, seq, _DAY_ONE)

    def read_unsubscribe(self, token: str) -> TokenOf | None:
        """None for one that is forged or damaged."""
        found = self._read(_UNSUBSCRIBE, token.lower())
        return found[0] if found else None

    def _signed(self, kind: str, bulk_id: str, seq: int, day: date) -> str:
        secret = self.secrets[0]
        id_letters = bulk_id.removeprefix(_BULK)
        body = f"{_ALPHABET[secret.number]}{id_letters}{_written((day - _DAY_ONE).days, 3)}{_written(seq, 1)}"
        return body + _mac(secret, kind, body)

    def _read(self, kind: str, token: str) -> tuple[TokenOf, date] | None:
        body, mac = token[:-_MAC_LETTERS], token[-_MAC_LETTERS:]
        if not (1 + _ID_LETTERS + 3 < len(body) <= 60) or any(letter not in _VALUE for letter in token):
            return None
        secret = next((one for one in self.secrets if one.number == _VALUE[body[0]]), None)
        if secret is None or not hmac.compare_digest(_mac(secret, kind, body), mac):
            return None
        rest = body[1 + _ID_LETTERS :]
        day = _DAY_ONE + timedelta(days=_number(rest[:3]))
        return TokenOf(_BULK + body[1 : 1 + _ID_LETTERS], _number(rest[3:])), day


NO_TOKENS = Tokens(())
"""Makes none and believes none."""


def _mac(secret: Secret, kind: str, body: str) -> str:
    digest = int.from_bytes(hmac.digest(secret.octets, f"{kind}:{body}".encode(), "sha256"), "big")
    return _written(digest >> (256 - 5 * _MAC_LETTERS), _MAC_LETTERS)


def _written(number: int, least: int) -> str:
    letters = ""
    while number:
        letters = _ALPHABET[number & 31] + letters
        number >>= 5
    return letters.rjust(least, "0")


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number << 5 | _VALUE[letter]
    return number
