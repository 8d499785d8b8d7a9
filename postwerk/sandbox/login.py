"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616): one exchange, line by line."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Self

from postwerk.errors import ConfigurationError
from postwerk.sandbox.behaviour import Answer

ASKS_FOR_MORE = 334
TAKEN = Answer(235, "2.7.0 Authentication successful")

_WRONG = Answer(535, "5.7.8 Authentication credentials invalid")
_CANCELLED = Answer(501, "5.7.0 Authentication cancelled")
_NO_BASE64 = Answer(501, "5.5.2 Cannot decode this as base64")

# What is asked, one after the other; LOGIN asks "Username:" and "Password:" in base64.
MECHANISMS = {b"PLAIN": ("",), b"LOGIN": ("VXNlcm5hbWU6", "UGFzc3dvcmQ6")}


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one user who may send here."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, written: str) -> Self:
        """Read `user:password`. Raises ConfigurationError, without the password."""
        user, _, password = written.partition(":")
        if not user or not password:
            raise ConfigurationError("credentials must be written as user:password")
        return cls(user, password)

    def fit(self, given: list[bytes]) -> bool:
        """Whether these are they: user and password, or PLAIN's one message of both."""
        # RFC 4616: whom to act as, NUL, user, NUL, password; whom to act as makes no difference here.
        pair = given if len(given) == 2 else given[0].split(b"\0")[1:]
        return pair == [self.user.encode(), self.password.encode()]


class Login:
    """One exchange; it is over with the first answer that asks for no more."""

    def __init__(self, credentials: Credentials, mechanism: bytes) -> None:
        self._credentials = credentials
        self._prompts = MECHANISMS[mechanism]
        self._given: list[bytes] = []

    @property
    def user(self) -> str:
        """Who logs in, once it has: there is only one who may."""
        return self._credentials.user

    def ask(self) -> Answer:
        return Answer(ASKS_FOR_MORE, self._prompts[len(self._given)])

    def hear(self, line: bytes) -> Answer:
        """Take one line of the client; `*` cancels, and `=` is an empty first response."""
        if line == b"*":
            return _CANCELLED
        try:
            self._given.append(b"" if line == b"=" else base64.b64decode(line, validate=True))
        except binascii.Error:
            return _NO_BASE64
        if len(self._given) < len(self._prompts):
            return self.ask()
        return TAKEN if self._credentials.fit(self._given) else _WRONG
