"""Subject, bodies and header values as templates: compiled once for a content, rendered for each recipient.

A render is bounded in instructions (fuel), in what it shows, and in what its variables weigh.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any, NamedTuple

from minijinja import Environment, TemplateError, safe

from postwerk.contracts.content import Content, Recipient
from postwerk.errors import ContentError, InvalidRequest
from postwerk.mime.headers import is_template
from postwerk.mime.template_filters import BoundFilters
from postwerk.mime.template_language import Shape, examine
from postwerk.mime.variables import weigh
from postwerk.rules.lacking import lacking

MAX_SUBJECT_SOURCE = 4_000
MAX_BODY_SOURCE = 1024 * 1024
MAX_LINE = 998
MAX_BODY = 2 * 1024 * 1024

MAX_FUEL = 50_000
MIN_FUEL = 1_000
MAX_WORK = 50_000_000
"""Fuel times the heaviest thing an instruction can touch: about 0.1 s."""
MAX_TOUCHED = 4_000_000

_NAMED = re.compile(r"`([^`]{1,200})` is undefined")


class Rendered(NamedTuple):
    """What one recipient's variables made of the templates."""

    subject: str
    text: str | None
    html: str | None
    headers: dict[str, str]


class Templates:
    """The compiled templates of one content. Not for two threads at the same time."""

    def __init__(self, content: Content) -> None:
        self._globals = content.variables
        self._weight = weigh(content.variables)
        self._subject = _Template(content.subject, MAX_LINE)
        self._text = None if content.text is None else _Template(content.text, MAX_BODY)
        self._html = None if content.html is None else _Template(content.html, MAX_BODY, html=True)
        self._headers = {
            name: _Template(value, MAX_LINE) for name, value in content.headers.items() if is_template(value)
        }

    def render(self, recipient: Recipient) -> Rendered:
        """Everything for one recipient; ContentError says what is wrong with it."""
        weight = max(self._weight, weigh(recipient.variables))
        context = self._context(recipient)
        return Rendered(
            self._subject.render(context, weight),
            None if self._text is None else self._text.render(context, weight),
            None if self._html is None else self._html.render(context, weight),
            {name: template.render(context, weight) for name, template in self._headers.items()},
        )

    def names(self) -> frozenset[str]:
        """The variables that are read and that nobody has given yet; "a.b" is a field of one."""
        return lacking(self._read(), {"to": "", "name": "", **self._globals})

    def unused(self) -> list[str]:
        """Variables of the content that no template reads."""
        return sorted(set(self._globals) - {name.partition(".")[0] for name in self._read()})

    def _read(self) -> frozenset[str]:
        templates = [self._subject, self._text, self._html, *self._headers.values()]
        return frozenset[str]().union(*(one.names() for one in templates if one is not None))

    def _context(self, recipient: Recipient) -> dict[str, Any]:
        """The recipient's variables win; then the content's; `to` and `name` are always there."""
        name = recipient.name or self._globals.get("name", "")
        return {"to": recipient.address, **self._globals, "name": name, **recipient.variables}


class _Template:
    """One template in an environment of its own, which counts what it shows."""

    def __init__(self, source: str, max_characters: int, *, html: bool = False) -> None:
        self._shape = examine(source)
        self._source = source
        self._static = not is_template(source)
        self._max_characters = max_characters
        self._left = 0
        self._environment = Environment(
            fuel=MAX_FUEL,
            undefined_behavior="strict",
            pycompat=False,
            keep_trailing_newline=True,
            auto_escape_callback=lambda _name: html,
            finalizer=self._show_escaped if html else self._show,
        )
        self._filters = BoundFilters(self._environment)
        try:
            self._environment.add_template("t", source)
        except (TemplateError, UnicodeError) as error:
            raise _syntax_error(error) from None

    def names(self) -> set[str]:
        """What it reads and does not make itself."""
        found = self._environment.undeclared_variables_in_template("t", nested=True)
        return set(found) - set(self._environment.globals)

    def render(self, context: dict[str, Any], weight: int) -> str:
        if self._static:
            return self._source
        self._left = self._max_characters
        self._filters.renew()
        self._environment.fuel = _fuel(self._shape, weight)
        try:
            # Not render_str: its argument "name" collides with a variable of that name.
            text = self._environment.render_template("t", **context)
        except ContentError:
            raise
        except TemplateError as error:
            raise _render_error(error) from None
        except (ValueError, TypeError, KeyError, OverflowError, UnicodeError, RecursionError) as error:
            raise ContentError(f"the template cannot be rendered: {type(error).__name__}") from None
        if len(text) > self._max_characters:
            raise _too_large(self._max_characters)
        return text

    def _show(self, value: Any) -> Any:
        """Called for each value that is shown; null shows nothing."""
        if value is None:
            return ""
        self._left -= len(value) if isinstance(value, str) else len(str(value))
        if self._left < 0:
            raise _too_large(self._max_characters)
        return value

    def _show_escaped(self, value: Any) -> Any:
        value = self._show(value)
        # MiniJinja would also escape "/", which makes every link longer and hard to read.
        return safe(escape(value)) if type(value) is str else value


def check_templates(content: Content) -> None:
    """Refuse templates that are too large, cannot be read, or use what is not offered."""
    sources = [("#/subject", content.subject, MAX_SUBJECT_SOURCE)]
    sources += [("#/text", content.text, MAX_BODY_SOURCE)] if content.text is not None else []
    sources += [("#/html", content.html, MAX_BODY_SOURCE)] if content.html is not None else []
    for name, value in content.headers.items():
        pointer = "#/headers/" + name[:80].replace("~", "~0").replace("/", "~1")
        sources.append((pointer, value, MAX_SUBJECT_SOURCE))
    for pointer, source, limit in sources:
        _check_source(pointer, source, limit)
    try:
        weigh(content.variables)
    except ContentError as error:
        raise InvalidRequest(error.message, pointer="#/variables", code=error.code) from None


def _check_source(pointer: str, source: str, limit: int) -> None:
    if len(source) > limit:
        raise InvalidRequest(f"longer than {limit} characters", pointer=pointer, code="too_large")
    if not source.strip() and pointer == "#/subject":
        return
    try:
        _Template(source, limit, html=pointer == "#/html")
    except ContentError as error:
        raise InvalidRequest(error.message, pointer=pointer, code=error.code) from None


def _fuel(shape: Shape, weight: int) -> int:
    """Fewer instructions the more each of them can cost."""
    heaviest = max(max(weight, shape.literal) * shape.growth, shape.looped_text, 1)
    if heaviest > MAX_TOUCHED:
        raise ContentError("the template joins texts that are too long", code="template_too_expensive")
    return max(min(MAX_FUEL, MAX_WORK // heaviest), MIN_FUEL)


def _syntax_error(error: Exception) -> ContentError:
    line, detail = getattr(error, "line", None), getattr(error, "detail", None) or "it cannot be read"
    return ContentError(f"line {line or 1}: {str(detail)[:200]}", code="template_syntax")


def _render_error(error: TemplateError) -> ContentError:
    detail = str(error.detail or error.kind)[:200]
    if error.kind == "UndefinedError":
        named = _NAMED.search(detail)
        name = named.group(1) if named else detail
        return ContentError(f"line {error.line}: the variable {name} has no value", code="undefined_variable")
    if error.kind == "OutOfFuel":
        return ContentError("the template takes too many steps", code="template_too_expensive")
    return ContentError(f"line {error.line}: {detail}", code="render_failed")


def _too_large(limit: int) -> ContentError:
    return ContentError(f"longer than {limit} characters once rendered", code="too_large")
