"""What a send says: fields of a request, of its template and of its files, made into one content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from api.dependencies import Parts
from api.request_schemas import ContentRequest
from api.taking.files import PreparedFiles, check_references, prepare_files
from postwerk.archive.relay_sizes import size_limit
from postwerk.archive.templates import Template, template
from postwerk.contracts.content import Content, ListUnsubscribe, Mailbox, Signing
from postwerk.contracts.options import DEFAULT_RELAY
from postwerk.errors import ContentError, InvalidRequest, NotFound, TooLarge
from postwerk.mime.encoding import quoted_printable
from postwerk.mime.frame import fixed_size
from postwerk.mime.headers import check_headers
from postwerk.mime.styles import inlined_template
from postwerk.mime.templates import check_templates
from postwerk.mime.text_template import text_template
from postwerk.rules.addresses import parse_address, parse_mailbox
from postwerk.rules.recipients import json_text

R = TypeVar("R", bound=ContentRequest)

MOST_MAILBOXES = 10
"""In `reply_to`, and in `notify.to`."""
_MERGED = ("headers", "variables")
_HEAD_OCTETS = 4_000
"""What the headers of a message come to, generously."""


async def resolve(parts: Parts, request: R) -> R:
    """The request with what its template says, its files checked. Raises InvalidRequest, TooLarge."""
    if request.template is not None:
        async with parts.archive.reading() as connection:
            try:
                found = await template(connection, request.template.id, request.template.version)
            except NotFound as error:
                raise InvalidRequest(error.message, pointer="#/template", code="unknown_template") from None
        request = with_template(request, found)
    limits = parts.config.file_limits
    request.prepare(await prepare_files(parts.archive, request.attachments, limits))
    request.attachments = []  # what is kept of them is prepared
    most = min(limits.message_octets, await _relay_takes(parts, request) or limits.message_octets)
    check_size(request, request.prepared, most)
    return request


async def _relay_takes(parts: Parts, request: ContentRequest) -> int | None:
    """What its relay takes, as far as a worker was told."""
    relay = str(getattr(request, "relay", None) or DEFAULT_RELAY)
    async with parts.archive.reading() as connection:
        return await size_limit(connection, relay)


def with_template(request: R, found: Template) -> R:
    """What the request says itself wins, name by name in headers and variables."""
    document = dict(found.document)
    update: dict[str, Any] = {"sender": document.pop("from", None)}
    update |= document
    given = request.model_fields_set
    taken = {name: value for name, value in update.items() if value is not None and name not in given}
    for name in _MERGED:
        if name in given and name in document:
            own = getattr(request, name)
            mine = {key.lower() for key in own} if name == "headers" else own.keys()
            rest = {
                key: value
                for key, value in document[name].items()
                if (key.lower() if name == "headers" else key) not in mine
            }
            taken[name] = {**rest, **own}
    resolved = request.model_copy(update=taken)
    assert resolved.template is not None
    resolved.template = resolved.template.model_copy(update={"version": found.version})
    return resolved


def check_size(request: ContentRequest, files: PreparedFiles, most: int) -> None:
    """The message as it will be encoded, its variables not yet put in. Raises TooLarge."""
    bodies = [body for body in (request.text, request.html) if body]
    fixed = fixed_size(files.attachments) + _HEAD_OCTETS
    if fixed + 3 * sum(map(len, bodies)) <= most:
        return
    size = fixed + sum(len(quoted_printable(body)) for body in bodies)
    if size > most:
        raise TooLarge(
            f"Encoded, a message has {size:,} octets; at most {most:,} are taken.",
            pointer="#/attachments" if files.attachments else "#/html",
            code="message_too_big",
        )


def content_of(
    request: ContentRequest,
    *,
    to_show: bool = False,
    list_unsubscribe: ListUnsubscribe | None = None,
    dkim: Signing | None = None,
) -> Content:
    """Raises InvalidRequest pointing at the field. A request with a template or files is resolved.

    One that is only `to_show` has no files, whatever its html says.
    """
    if request.text is None and request.html is None:
        raise InvalidRequest("Give a text, an html, or both.", pointer="#/text", code="missing")
    if request.sender is None:
        raise InvalidRequest("Say whom the mail is from.", pointer="#/from", code="missing")
    if request.subject is None:
        raise InvalidRequest("Give a subject.", pointer="#/subject", code="missing")
    if request.variables:
        json_text(request.variables, "#/variables")
    with at_field("#/headers"):
        check_headers(request.headers)
    files = request.prepared
    html, css_left = _styled(request)
    text, from_html = _text(request)
    content = Content(
        sender=read_mailbox(request.sender, "#/from"),
        return_path=_return_path(request.return_path),
        reply_to=read_mailboxes(request.reply_to, "#/reply_to"),
        subject=request.subject,
        text=text,
        html=html,
        variables=request.variables,
        headers=request.headers,
        attachments=files.attachments,
        text_from_html=from_html,
        inline_css=css_left,
        list_unsubscribe=list_unsubscribe,
        dkim=dkim or Signing(),
    )
    check_templates(content)
    if not to_show:
        check_references(content)
    return content


def _text(request: ContentRequest) -> tuple[str | None, bool]:
    """The text and whether it is made from the html; `text: ""` beside an html means none."""
    if request.html is None:
        return request.text, False
    if request.text is not None:
        return request.text or None, False
    with _of_html():
        return text_template(request.html), True


def _styled(request: ContentRequest) -> tuple[str | None, bool]:
    """The html, and whether its styles are still to be inlined for each message."""
    if request.html is None or not request.inline_css:
        return request.html, False
    with _of_html():
        once = inlined_template(request.html)
    return (request.html, True) if once is None else (once, False)


@contextmanager
def _of_html() -> Iterator[None]:
    try:
        yield
    except ContentError as error:
        raise InvalidRequest(error.message, pointer="#/html", code=error.code) from None


def read_mailbox(value: Any, pointer: str) -> Mailbox:
    with at_field(pointer):
        return parse_mailbox(value)


def read_mailboxes(value: Any, pointer: str) -> tuple[Mailbox, ...]:
    """One mailbox, or a list of them."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return (read_mailbox(value, pointer),)
    if len(value) > MOST_MAILBOXES:
        raise InvalidRequest(f"At most {MOST_MAILBOXES} addresses.", pointer=pointer, code="too_many")
    return tuple(read_mailbox(one, f"{pointer}/{index}") for index, one in enumerate(value))


def _return_path(value: str | None) -> str | None:
    if value is None:
        return None
    with at_field("#/return_path"):
        return parse_address(value)


@contextmanager
def at_field(pointer: str) -> Iterator[None]:
    """Errors that do not know their field get this one."""
    try:
        yield
    except InvalidRequest as error:
        if error.pointer == "#":
            error.pointer = pointer
        raise
