"""What this process counts and where the queue stands, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.dependencies import UseParts
from postwerk.observe.metrics.queue import QueueCollector
from postwerk.observe.metrics.registry import MEDIA_TYPE, exposition

router = APIRouter(tags=["health"])


class MetricsResponse(Response):
    """Prometheus's text format."""

    media_type = MEDIA_TYPE


@router.get("/metrics", response_class=MetricsResponse)
async def metrics(parts: UseParts) -> MetricsResponse:
    """Every metric of the API's process, and where the queue stands, at most ten seconds old."""
    return MetricsResponse(exposition(QueueCollector(await parts.standing.latest())))
