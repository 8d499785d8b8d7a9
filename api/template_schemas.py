"""Templates, previews and stored files, in callers' words."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from api.problem_schemas import ProblemEntry
from api.request_schemas import JsonObject, MailboxInput, TemplateRequest


class _For(BaseModel):
    """The recipient that a preview is for; its variables win."""

    model_config = ConfigDict(extra="forbid")

    to: MailboxInput = None
    """ada@example.com if left out."""
    name: StrictStr | None = Field(default=None, max_length=256)
    recipient_variables: JsonObject = {}


class TemplateRenderRequest(_For):
    """Values to show a stored template with."""

    variables: JsonObject = {}
    version: StrictInt | None = Field(default=None, ge=1, le=2**31 - 1)


class RenderRequest(TemplateRequest, _For):
    """A content as it stands in a send, and for whom it is to be shown."""


class TemplateView(BaseModel):
    """A version of a template: what it says, as it was given."""

    object: Literal["template"] = "template"
    id: str
    version: int
    created_at: datetime
    created_by: str
    document: JsonObject
    """The fields of a send that it says."""


class TemplateList(BaseModel):
    """A page; `next` is the `after` of the following one."""

    object: Literal["list"] = "list"
    has_more: bool
    next: str | None
    data: list[TemplateView]


class RenderedView(BaseModel):
    """A message as one recipient would get it. A part that cannot be made is null, and named in `errors`."""

    object: Literal["rendered"] = "rendered"
    subject: str | None
    text: str | None
    """Made from the html if there is no text of its own."""
    html: str | None
    headers: dict[str, str]
    undefined_variables: list[str]
    """Asked for, and without a value: a message with one of these would fail."""
    errors: list[ProblemEntry]
    size: int | None
    """Octets of the whole message, its files left out; null when it cannot be made."""


class StoredFile(BaseModel):
    """A file that lies here; `attachments: [{"filename": ..., "id": ...}]` sends it."""

    object: Literal["attachment"] = "attachment"
    id: str
    size: int
    content_type: str | None = None
    """As it was given; say it again where the file is used."""
