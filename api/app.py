"""First file of the API process: builds the parts, wires them, hands them in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from api.dependencies import ApiConfig, Parts
from api.errors import add_error_handlers
from api.middleware import Envelope, keep_queries_out_of_the_log
from api.reconciler import reconcile_forever
from api.routes import bulk_sends, health, messages, uploads
from api.schemas import BulkSendRequest, Problem
from postwerk.archive.engine import Archive
from postwerk.settings import Settings, load_settings
from workflows.client import connect


def create_app(parts: Parts | None = None) -> FastAPI:
    """The API by the settings of this process, or around parts that a test built."""
    settings = None if parts else load_settings()
    docs = parts.config.docs if parts else bool(settings and settings.docs)
    app = FastAPI(
        title="Postwerk",
        summary="Bulk mail delivery: every message to one definite end.",
        version="1",
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        lifespan=_lifespan(settings) if settings else None,
    )
    if parts:
        app.state.parts = parts
    add_error_handlers(app)
    app.add_middleware(Envelope)
    for room in (bulk_sends, uploads, messages, health):
        app.include_router(room.router)
    _complete_openapi(app)
    keep_queries_out_of_the_log()
    return app


def _lifespan(settings: Settings) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        archive = Archive(settings.archive_config("full"))
        client = await connect(lazy=True)
        app.state.parts = Parts(archive, client, _config(settings))
        reconciler = asyncio.create_task(reconcile_forever(archive, client, settings.task_queue))
        try:
            yield
        finally:
            reconciler.cancel()
            with suppress(asyncio.CancelledError):
                await reconciler
            await archive.close()

    return lifespan


def _config(settings: Settings) -> ApiConfig:
    return ApiConfig(
        task_queue=settings.task_queue,
        retry=settings.retry_schedule(),
        max_body_bytes=settings.max_body_bytes,
        max_part_bytes=settings.max_part_bytes,
        public_url=settings.public_url,
        temporal_ui_url=settings.temporal_ui_url,
        docs=settings.docs,
    )


def _complete_openapi(app: FastAPI) -> None:
    """Add the shapes of bodies that we parse ourselves."""
    plain = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _, shapes = models_json_schema(
                [(BulkSendRequest, "validation"), (Problem, "serialization")],
                ref_template="#/components/schemas/{model}",
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(shapes["$defs"])
        return app.openapi_schema or document

    app.openapi = complete  # type: ignore[method-assign]
