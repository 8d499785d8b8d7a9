"""Values with a small language of their own: retry schedules, and "none"."""

from __future__ import annotations

from typing import Any

from postwerk.cli.client.errors import Misused

_NUMBERS = ("factor", "jitter")
_FIELDS = ("preset", "initial", "maximum", *_NUMBERS)


def none_or(text: str) -> str | None:
    """ "none" takes a limit back."""
    return None if text.lower() == "none" else text


def retry_of(text: str) -> Any:
    """The field `retry`: a preset's name, waits such as "1m,5m,1h", or "initial=5m,factor=2,maximum=3h".

    Raises Misused.
    """
    if "=" in text:
        return dict(_field(piece) for piece in text.split(","))
    if text[:1].isdigit() or "," in text:
        return {"waits": [piece.strip() for piece in text.split(",")]}
    return text


def _field(piece: str) -> tuple[str, Any]:
    name, _, value = (part.strip() for part in piece.partition("="))
    if name not in _FIELDS or not value:
        raise Misused(f"--retry: {piece.strip()!r} is none of {', '.join(_FIELDS)} with a value.")
    try:
        return name, float(value) if name in _NUMBERS else value
    except ValueError as error:
        raise Misused(f"--retry: {name} must be a number.") from error
