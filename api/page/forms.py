"""What a browser sends of a form without files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from api.errors import MalformedBody
from api.page.multipart import MultipartForm

MOST_FIELDS = 2000


class Form:
    """Its fields in order; a name may come several times, as of ticked boxes."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = list(pairs)

    def get(self, name: str) -> str:
        """The field's value without blanks around it; empty when there is none."""
        return next((value.strip() for given, value in self.pairs if given == name), "")

    def raw(self, name: str) -> str:
        """As it was typed."""
        return next((value for given, value in self.pairs if given == name), "")

    def all(self, name: str) -> list[str]:
        return [value for given, value in self.pairs if given == name]


def as_form(body: bytes) -> Form:
    """Raises MalformedBody."""
    try:
        text = body.decode("ascii")
        return Form(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise MalformedBody("The form cannot be read.") from error


def form_of(request: Request) -> Form:
    """As the guard read it."""
    form = getattr(request.state, "form", None)
    if not isinstance(form, Form):
        raise MalformedBody("This form is sent as application/x-www-form-urlencoded.")
    return form


UseForm = Annotated[Form, Depends(form_of)]


def files_form_of(request: Request) -> MultipartForm:
    """A form with files, behind its token. Raises MalformedBody when it came as one without."""
    form = getattr(request.state, "form", None)
    if not isinstance(form, MultipartForm):
        raise MalformedBody("This form is sent as multipart/form-data.")
    return form


UseFilesForm = Annotated[MultipartForm, Depends(files_form_of)]
