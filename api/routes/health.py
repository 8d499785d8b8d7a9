"""Is the process alive, and can mail be taken and sent."""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from api.dependencies import Parts, UseParts
from api.schemas import Ready
from api.starting import TEMPORAL_AWAY
from postwerk.archive import reads
from workflows.client import workers_polling

router = APIRouter(tags=["health"])
PATIENCE = 3.0
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "A part is missing"}}


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Ready, responses=_NOT_READY)
async def readyz(response: Response, parts: UseParts) -> Ready:
    """Archive, Temporal and at least one worker are there; else 503 saying which is missing."""
    archive, (temporal, workers) = await asyncio.gather(_archive(parts), _temporal(parts))
    ready = archive == temporal == "ok" and bool(workers)
    response.status_code = 200 if ready else 503
    return Ready(
        status="ready" if ready else "not_ready", archive=archive, temporal=temporal, workers=workers
    )


@router.get("/v1/version")
async def running_version() -> dict[str, str]:
    return {"version": our_version()}


def our_version() -> str:
    try:
        return version("postwerk")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


async def _archive(parts: Parts) -> str:
    try:
        async with asyncio.timeout(PATIENCE), parts.archive.reading() as connection:
            await reads.is_alive(connection)
    except (SQLAlchemyError, OSError) as error:
        return f"away ({type(error).__name__})"
    return "ok"


async def _temporal(parts: Parts) -> tuple[str, int | None]:
    try:
        async with asyncio.timeout(PATIENCE):
            return "ok", await workers_polling(parts.client, parts.config.task_queue)
    except TEMPORAL_AWAY as error:
        return f"away ({type(error).__name__})", None
