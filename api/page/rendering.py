"""Templates: everything is escaped, and a name that is not there is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.page import words
from api.page.access import places_for
from api.page.static_files import address_of

TEMPLATES = Path(__file__).parent / "templates"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        name: getattr(words, name)
        for name in (
            "number",
            "percent",
            "span",
            "ago",
            "clock",
            "size",
            "counted",
            "without",
            "said",
            "json",
        )
    }
    made.filters["zipped"] = lambda texts: [(text, text) for text in texts]  # choices that say their value
    made.globals |= {"static": address_of, "places_for": places_for}
    return made


_ENVIRONMENT = _environment()


def render(template: str, **context: Any) -> str:
    return _ENVIRONMENT.get_template(template).render(context)


def read_all() -> None:
    """Read and compile every template, so that the first who looks need not wait for it."""
    for name in _ENVIRONMENT.list_templates():
        _ENVIRONMENT.get_template(name)
