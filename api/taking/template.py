"""A template as a caller gives it, checked and in the form in which it is kept."""

from __future__ import annotations

from typing import Any

from api.request_schemas import ContentRequest, TemplateRequest
from api.taking.content import at_field, content_of, read_mailbox, read_mailboxes
from api.taking.request import read_fields
from api.template_schemas import RenderRequest
from postwerk.contracts.content import Content, Recipient
from postwerk.errors import InvalidRequest
from postwerk.mime.headers import check_headers
from postwerk.mime.templates import check_templates
from postwerk.rules.addresses import parse_address, parse_mailbox
from postwerk.rules.recipients import check_name, json_text

_SOMEBODY = "ada@example.com"
_SENDER = "sender@example.com"


def read_template(document: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given, as they were. Raises InvalidRequest, InvalidFields."""
    given = read_fields(TemplateRequest, document)
    kept = {name: value for name, value in document.items() if value is not None}
    if not kept:
        raise InvalidRequest("A template says something: give a subject, a text or an html.", code="missing")
    json_text(given.variables, "#/variables")
    with at_field("#/headers"):
        check_headers(given.headers)
    if given.sender is not None:
        read_mailbox(given.sender, "#/from")
    read_mailboxes(given.reply_to, "#/reply_to")
    if given.return_path is not None:
        with at_field("#/return_path"):
            parse_address(given.return_path)
    check_templates(
        Content(
            sender=parse_mailbox(_SENDER),
            subject=given.subject or "",
            text=given.text,
            html=given.html,
            variables=given.variables,
            headers=given.headers,
        )
    )
    return kept


def read_render(document: dict[str, Any]) -> RenderRequest:
    return read_fields(RenderRequest, document)


def content_to_show(request: TemplateRequest) -> Content:
    """What is left out is filled in: a preview needs no sender. Raises InvalidRequest."""
    fields = {name: getattr(request, name) for name in TemplateRequest.model_fields}
    fields["sender"] = fields["sender"] or _SENDER
    fields["subject"] = fields["subject"] or ""
    if fields["text"] is None and fields["html"] is None:
        fields["text"] = ""
    return content_of(ContentRequest.model_construct(**fields, template=None, attachments=[]), to_show=True)


def recipient_to_show(to: Any, name: str | None, variables: dict[str, Any]) -> Recipient:
    """Raises InvalidRequest pointing at the field."""
    mailbox = read_mailbox(to if to is not None else _SOMEBODY, "#/to")
    shown = mailbox.name if name is None else check_name(name)
    return Recipient(1, mailbox.email, shown, variables)
