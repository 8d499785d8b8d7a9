"""Parameters behind the question mark: known ones only, and text that a database can be asked for."""

from __future__ import annotations

from fastapi import Request

from postwerk.errors import InvalidRequest


def only_parameters(request: Request, *known: str) -> None:
    """Raises InvalidRequest for any other: a misspelt one would be obeyed by doing something else."""
    for name in request.query_params.keys() - set(known):
        raise InvalidRequest(
            "This parameter is not known here.", pointer=f"?{name[:50]}", code="unknown_parameter"
        )


def clean_text(text: str | None, pointer: str) -> str | None:
    """PostgreSQL takes no NUL and nobody's address holds one."""
    if text is not None and ("\x00" in text or not text.isprintable()):
        raise InvalidRequest("This holds characters no address has.", pointer=pointer, code="invalid_text")
    return text or None
