"""First file of the API process: builds the parts, wires them, hands them in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from pydantic.json_schema import models_json_schema
from starlette.middleware.gzip import GZipMiddleware

from api.access import guard, need_of
from api.change_schemas import BulkSendChange
from api.dependencies import ApiConfig, Parts
from api.errors import add_error_handlers, loggable
from api.event_keeping import keep_events_forever
from api.gate import Gate
from api.key_schemas import KeyChange, KeyRequest, RotationRequest
from api.lane_schemas import LaneOrder, RelayOrder
from api.middleware import Envelope
from api.operation_schemas import QueueOrder, ReasonOrder, RetryFailedOrder, StartOrder
from api.page.app import PageDoor, create_page
from api.page.rendering import read_all as read_all_templates
from api.problem_schemas import Problem, problems
from api.reconciler import reconcile_forever
from api.request_schemas import BulkSendRequest, MessageRequest, TemplateRequest
from api.routes import (
    api_keys,
    attachments,
    audit,
    bulk_sends,
    changes,
    domains,
    events,
    health,
    inbound,
    lanes,
    messages,
    metrics,
    operations,
    queue,
    schedules,
    suppressions,
    suspensions,
    templates,
    unsubscribing,
    uploads,
    webhooks,
)
from api.schedule_schemas import ScheduleChange, ScheduleRequest
from api.stopping import told_of_signals
from api.suppression_schemas import SuppressionRequest
from api.suspension_schemas import SuspensionOrder
from api.taking.files import FileLimits
from api.template_schemas import RenderRequest, TemplateRenderRequest
from api.trial_schemas import TestOrder
from api.webhook_schemas import (
    SecretRotation,
    WebhookChange,
    WebhookEnabling,
    WebhookReplayRequest,
    WebhookRequest,
)
from postwerk.archive.engine import Archive
from postwerk.archive.migrate import check_schema
from postwerk.errors import ConfigurationError
from postwerk.observe import log
from postwerk.settings import Settings, load_settings
from workflows.client import connect
from workflows.runtime import core_runtime
from workflows.tracing import start_tracing

COMPRESSED_FROM = 1024
"""Octets of an answer, for those who take gzip."""
_ROOMS = (
    bulk_sends,
    changes,
    uploads,
    messages,
    queue,
    operations,
    lanes,
    schedules,
    suspensions,
    suppressions,
    events,
    templates,
    attachments,
    inbound,
    audit,
    domains,
    unsubscribing,
    webhooks,
    api_keys,
    health,
    metrics,
)


_FOR_WANT_OF_A_KEY = (401, 403, 429)
"""Answers of every call but the public ones."""


def create_app(parts: Parts | None = None) -> FastAPI:
    """The API by the settings of this process, or around parts that a test built."""
    if parts is not None:
        return _wired(FastAPI(**_about(parts.config.docs)), parts)
    try:
        settings = load_settings()
        archive = Archive(settings.archive_config("full"))
        settings.signing_keys().load()
        config = _config(settings)
        if settings.traces:
            start_tracing("postwerk-api", settings.traces_ratio)
    except ConfigurationError as error:
        raise SystemExit(f"postwerk: {error.message}") from error  # one line for the operator, no traceback
    log.configure_logging(settings.log_level, settings.log_format)
    return _wired(FastAPI(**_about(config.docs), lifespan=_lifespan(archive, config)))


def _about(docs: bool | None) -> dict[str, Any]:
    return {
        "title": "Postwerk",
        "summary": "Bulk mail delivery: every message to one definite end.",
        "version": "1",
        "docs_url": None if docs is False else "/docs",
        "redoc_url": None,
        "openapi_url": None if docs is False else "/openapi.json",
        # Its spans would tell the path, which may hold an address; api/middleware.py makes its own.
        "telemetry": {"tracing": False, "metrics": False, "logs": False},
    }


def _wired(app: FastAPI, parts: Parts | None = None) -> FastAPI:
    if parts is not None:
        app.state.parts = parts
    add_error_handlers(app)
    app.add_middleware(Gate)
    app.add_middleware(PageDoor, page=create_page(app))
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM, compresslevel=5)
    app.add_middleware(Envelope)
    for room in _ROOMS:
        app.include_router(
            room.router, dependencies=[Depends(guard)], responses=problems(*_FOR_WANT_OF_A_KEY)
        )
    _complete_openapi(app)
    log.clean_access_lines(loggable)
    return app


def _lifespan(archive: Archive, config: ApiConfig) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = await connect(lazy=True, runtime=core_runtime())
        app.state.parts = Parts(archive, client, config)
        await _tell_of_a_wrong_schema(archive)
        app.state.parts.survey.start()
        app.state.parts.page.figures.start()
        await asyncio.to_thread(read_all_templates)
        background = [
            asyncio.create_task(reconcile_forever(archive, client, config.task_queue, config.public_url)),
            asyncio.create_task(app.state.parts.inbound.run_forever()),
            asyncio.create_task(keep_events_forever(app.state.parts)),
        ]
        try:
            with told_of_signals(app.state.parts.end_streams):
                yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await app.state.parts.close()
            await archive.close()

    return lifespan


async def _tell_of_a_wrong_schema(archive: Archive) -> None:
    """Said once in the log; calls answer 503 until it is put right."""
    try:
        await check_schema(archive)
    except ConfigurationError as error:
        log.schema_is_wrong(error.message)


def _config(settings: Settings) -> ApiConfig:
    return ApiConfig(
        task_queue=settings.task_queue,
        retry=settings.retry_schedule(),
        max_body_bytes=settings.max_body_bytes,
        max_part_bytes=settings.max_part_bytes,
        file_limits=FileLimits(
            settings.max_attachment_bytes, settings.max_attachments, settings.max_message_bytes
        ),
        public_url=settings.public_url,
        temporal_ui_url=settings.temporal_ui_url,
        sandbox_url=settings.sandbox_url,
        docs=settings.docs,
        metrics_open=settings.metrics_open,
        open_on_loopback=settings.open_on_loopback,
        calls_per_minute=settings.calls_per_minute,
        uploads_at_once=settings.uploads_at_once,
        relay_rate=settings.relay_rate,
        connections_per_lane=settings.connections_per_lane,
        messages_per_connection=settings.messages_per_connection,
        dkim_keys=settings.dkim_keys,
        bounce_domain=settings.bounce_address_domain(),
        ehlo_name=settings.ehlo_name,
        dns_server=settings.dns_server,
        inbound_max_bytes=settings.inbound_max_bytes,
        events_kept=settings.events_kept,
        stalled_after=settings.stalled_after,
        streams_per_key=settings.streams_per_key,
        webhook_allow_private=settings.webhook_allow_private,
        **_relay(settings),
    )


def _relay(settings: Settings) -> dict[str, Any]:
    """Names and servers of the relays this process was told of; to reach them is the workers' task."""
    found: dict[str, Any] = {}
    try:
        found["relays"] = {relay.name: f"{relay.host}:{relay.port}" for relay in settings.further_relays()}
        if settings.relay_url.get_secret_value():
            relay = settings.relay()
            found |= {"relay": relay.name, "relay_server": f"{relay.host}:{relay.port}"}
    except ConfigurationError as error:
        log.relays_unusable(error.message)
    return found


def _complete_openapi(app: FastAPI) -> None:
    """Add the shapes of bodies that we parse ourselves."""
    plain = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _, shapes = models_json_schema(
                [
                    (BulkSendRequest, "validation"),
                    (MessageRequest, "validation"),
                    (BulkSendChange, "validation"),
                    (TemplateRequest, "validation"),
                    (RenderRequest, "validation"),
                    (TemplateRenderRequest, "validation"),
                    (SuppressionRequest, "validation"),
                    (LaneOrder, "validation"),
                    (RelayOrder, "validation"),
                    (SuspensionOrder, "validation"),
                    (QueueOrder, "validation"),
                    (ReasonOrder, "validation"),
                    (StartOrder, "validation"),
                    (ScheduleRequest, "validation"),
                    (ScheduleChange, "validation"),
                    (RetryFailedOrder, "validation"),
                    (KeyRequest, "validation"),
                    (KeyChange, "validation"),
                    (RotationRequest, "validation"),
                    (TestOrder, "validation"),
                    (WebhookRequest, "validation"),
                    (WebhookChange, "validation"),
                    (WebhookEnabling, "validation"),
                    (SecretRotation, "validation"),
                    (WebhookReplayRequest, "validation"),
                    (Problem, "serialization"),
                ],
                ref_template="#/components/schemas/{model}",
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(shapes["$defs"])
            _tell_of_keys(document)
        return app.openapi_schema or document

    app.openapi = complete  # type: ignore[method-assign]


def _tell_of_keys(document: dict[str, Any]) -> None:
    """How a key is sent, and which scope each call asks for."""
    about = "An API key; from this machine itself none is needed as long as there is none."
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "pw_...", "description": about}
    document["components"]["securitySchemes"] = {"api_key": scheme}
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            need = need_of(method.upper(), path)
            call["security"] = [{"api_key": []}]
            if need and need.public:
                call["security"] = []
                for status in _FOR_WANT_OF_A_KEY:
                    call["responses"].pop(str(status), None)
            if need and need.scopes:
                call["x-scopes"] = [*need.scopes, *(["send, for its own"] if need.own else [])]
