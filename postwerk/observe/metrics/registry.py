"""Where this process's metrics stand, and how they are told."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from postwerk.errors import ConfigurationError

# When a series began is known from the process's start; three more for each histogram would say it again.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Buckets of what takes milliseconds as a rule."""
LONG_SECONDS = (
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    14400.0,
    86400.0,
    432000.0,
)
"""Buckets of what takes seconds as a rule, and five days at most."""


def exposition(*more: Collector) -> bytes:
    """Every metric of this process in Prometheus's text format, and those of `more`."""
    return b"".join(generate_latest(one) for one in (REGISTRY, *more))


class Served:
    """A `/metrics` of its own, told by a thread; it ends with the process, or before."""

    def __init__(self, host: str, port: int) -> None:
        self._server, self._thread = start_http_server(port, addr=host, registry=REGISTRY)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(host: str, port: int) -> Served | None:
    """Begin to serve; None for port 0: not at all. Raises ConfigurationError."""
    if not port:
        return None
    try:
        return Served(host, port)
    except OSError as error:
        raise ConfigurationError(f"Metrics cannot be served on {host}:{port}: {error}") from error
