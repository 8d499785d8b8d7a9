"""Templates: contents by name, in versions; and showing what one recipient would get."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.dependencies import Parts, UseParts
from api.errors import UnsupportedType
from api.parameters import only_parameters
from api.problem_schemas import ProblemEntry, problems
from api.request_schemas import TEMPLATE_NAME, ContentRequest, TemplateUse
from api.taking.body import media_type, whole_body
from api.taking.content import with_template
from api.taking.json_body import read_json
from api.taking.request import read_fields
from api.taking.template import content_to_show, read_render, read_template, recipient_to_show
from api.template_schemas import RenderedView, TemplateList, TemplateRenderRequest, TemplateView
from api.who import By
from postwerk.archive import templates
from postwerk.archive.audit import Actor, write_audit
from postwerk.archive.templates import Template
from postwerk.contracts.content import Content, Recipient
from postwerk.errors import ContentError, InvalidRequest
from postwerk.mime.preview import Preview, preview

router = APIRouter(tags=["templates"])

MOST_BYTES = 8 * 1024 * 1024
TemplateId = Annotated[str, Path(pattern=TEMPLATE_NAME)]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


def _body(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}}


@router.get("/v1/templates", response_model=TemplateList, responses=problems(422, 503))
async def list_all(
    request: Request,
    parts: UseParts,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str, Query(max_length=100, pattern=r"^[a-z0-9._-]*$")] = "",
) -> TemplateList:
    """The last version of each, by name."""
    only_parameters(request, "limit", "after")
    async with parts.archive.reading() as connection:
        found = await templates.templates(connection, limit=limit + 1, after=after)
    return _page(found, limit, found[limit - 1].id if len(found) > limit else None)


_SAVED: dict[str, Any] = {
    "response_model": TemplateView,
    "responses": {
        201: {"model": TemplateView, "description": "A further version"},
        **problems(400, 409, 413, 415, 422, 503),
    },
    "openapi_extra": _body("TemplateRequest"),
}


@router.put("/v1/templates/{id}", **_SAVED)
@router.post("/v1/templates/{id}", **_SAVED)
async def put(
    request: Request, response: Response, parts: UseParts, actor: By, id: TemplateId
) -> TemplateView:
    """Make the next version of a template (201). The same once more changes nothing and answers it (200)."""
    only_parameters(request)
    document = read_template(await _document(request))
    async with parts.archive.writing() as connection:
        found, is_new = await templates.put_template(connection, id, document, now=parts.now(), by=actor.by)
        if is_new:
            await _note(connection, actor, "template.put", found.id, parts, version=found.version)
    response.status_code = 201 if is_new else 200
    return _view(found)


@router.get("/v1/templates/{id}", response_model=TemplateView, responses=problems(404, 422, 503))
async def show(request: Request, parts: UseParts, id: TemplateId, version: Version = None) -> TemplateView:
    """The last version, or the one that is named."""
    only_parameters(request, "version")
    async with parts.archive.reading() as connection:
        return _view(await templates.template(connection, id, version))


@router.get("/v1/templates/{id}/versions", response_model=TemplateList, responses=problems(404, 422, 503))
async def list_versions(
    request: Request,
    parts: UseParts,
    id: TemplateId,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Version = None,
) -> TemplateList:
    """The versions, newest first; `after` is the number of the last one seen."""
    only_parameters(request, "limit", "after")
    async with parts.archive.reading() as connection:
        found = await templates.versions(connection, id, limit=limit + 1, before=after or 2**31 - 1)
    return _page(found, limit, str(found[limit - 1].version) if len(found) > limit else None)


@router.delete("/v1/templates/{id}", status_code=204, responses=problems(404, 409, 422, 503))
async def delete(request: Request, parts: UseParts, actor: By, id: TemplateId) -> None:
    """Delete a template with all its versions. Sends that were made from it keep what they say."""
    only_parameters(request)
    async with parts.archive.writing() as connection:
        await templates.delete_template(connection, id, now=parts.now(), by=actor.by)
        await _note(connection, actor, "template.delete", id, parts)


@router.post(
    "/v1/templates/{id}/render",
    response_model=RenderedView,
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=_body("TemplateRenderRequest"),
)
async def render_stored(request: Request, parts: UseParts, id: TemplateId) -> RenderedView:
    """What one recipient would get of a stored template. Nothing is sent or stored."""
    only_parameters(request)
    wanted = read_fields(TemplateRenderRequest, await _document(request))
    async with parts.archive.reading() as connection:
        found = await templates.template(connection, id, wanted.version)
    plain = ContentRequest(template=TemplateUse(id=id), variables=wanted.variables)
    recipient = recipient_to_show(wanted.to, wanted.name, wanted.recipient_variables)
    return await _shown(content_to_show(with_template(plain, found)), recipient)


@router.post(
    "/v1/render",
    response_model=RenderedView,
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=_body("RenderRequest"),
)
async def render(request: Request) -> RenderedView:
    """What one recipient would get of this content. Nothing is sent or stored."""
    only_parameters(request)
    wanted = read_render(await _document(request))
    recipient = recipient_to_show(wanted.to, wanted.name, wanted.recipient_variables)
    return await _shown(content_to_show(wanted), recipient)


async def _document(request: Request) -> dict[str, Any]:
    if media_type(request)[0] != "application/json":
        raise UnsupportedType("Send application/json.")
    return read_json(await whole_body(request, MOST_BYTES), "")[0]


async def _shown(content: Content, recipient: Recipient) -> RenderedView:
    """Beside the event loop: a large template may take a tenth of a second."""
    try:
        found = await asyncio.to_thread(preview, content, recipient)
    except ContentError as error:
        raise InvalidRequest(error.message, pointer="#/variables", code=error.code) from None
    return _rendered(found)


def _rendered(found: Preview) -> RenderedView:
    return RenderedView(
        subject=found.subject,
        text=found.text,
        html=found.html,
        headers=found.headers,
        undefined_variables=sorted(found.undefined),
        errors=[
            ProblemEntry(pointer=pointer, code=error.code, detail=error.message)
            for pointer, error in found.errors.items()
        ],
        size=found.size,
    )


def _page(found: list[Template], limit: int, after: str | None) -> TemplateList:
    return TemplateList(has_more=len(found) > limit, next=after, data=[_view(one) for one in found[:limit]])


def _view(found: Template) -> TemplateView:
    return TemplateView(
        id=found.id,
        version=found.version,
        created_at=found.created_at,
        created_by=found.created_by,
        document=dict(found.document),
    )


async def _note(connection: Any, actor: Actor, action: str, id: str, parts: Parts, **details: Any) -> None:
    await write_audit(connection, actor, action, at=parts.now(), target=id, details=details or None)
