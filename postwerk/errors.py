"""The error tree. A docstring is the default message: it speaks to the person who will read it.

PostwerkError
├── ConfigurationError      a setting cannot be used
├── InvalidRequest          what was handed in cannot be taken; names the field
│   └── TooLarge            a limit was passed
├── NotFound                no such bulk send or message
├── Conflict                the state does not allow it
├── Forbidden               whoever asks has not the right to it
├── QuotaExceeded           more messages than the key may send for now
└── ContentError            a message cannot be made from its content and variables

Outcomes of a delivery are values (contracts/smtp.py), never errors.
"""

from __future__ import annotations


class PostwerkError(Exception):
    """Postwerk could not do this."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())

    @property
    def message(self) -> str:
        return str(self.args[0])


class ConfigurationError(PostwerkError):
    """A setting cannot be used; correct it and start again."""


class InvalidRequest(PostwerkError):
    """The request cannot be taken as it is."""

    def __init__(self, message: str = "", *, pointer: str = "#", code: str = "invalid") -> None:
        """`pointer` names the field as a JSON pointer ("#/subject"), `code` is stable for programs."""
        super().__init__(message)
        self.pointer = pointer
        self.code = code


class TooLarge(InvalidRequest):
    """The request is larger than this installation takes."""


class NotFound(PostwerkError):
    """There is no such thing here; check the id."""


class Conflict(PostwerkError):
    """The state it is in does not allow this."""


class Forbidden(PostwerkError):
    """Whoever asks has not the right to this."""

    def __init__(self, message: str = "", *, pointer: str = "#", code: str = "forbidden") -> None:
        """`pointer` names the field that asks too much, if it is one."""
        super().__init__(message)
        self.pointer = pointer
        self.code = code


class QuotaExceeded(PostwerkError):
    """These are more messages than the API key may send for now."""

    code = "quota_exceeded"

    def __init__(self, message: str = "", *, retry_after: int) -> None:
        """`retry_after`: seconds until there is room for them."""
        super().__init__(message)
        self.retry_after = retry_after


class ContentError(PostwerkError):
    """The message cannot be made from its content and variables."""

    def __init__(self, message: str = "", *, code: str = "render_failed") -> None:
        super().__init__(message)
        self.code = code
