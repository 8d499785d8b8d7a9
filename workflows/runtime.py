"""The part of Temporal's SDK that is not Python: where its log lines and its metrics go. One a process."""

from __future__ import annotations

import logging
from functools import lru_cache

from temporalio import activity, workflow
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from postwerk.errors import ConfigurationError

_CORE = "temporalio.core"


@lru_cache(maxsize=1)
def core_runtime(metrics_address: str = "") -> Runtime:
    """Its lines come out as everybody's; its metrics are served on `host:port`. Raises ConfigurationError."""
    # Their lines tell ids as fields already.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False
    own_lines = LogForwardingConfig(
        logging.getLogger(_CORE), append_target_to_name=False, overwrite_log_record_time=True
    )
    try:
        return Runtime(
            telemetry=TelemetryConfig(
                logging=LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), own_lines),
                metrics=_served(metrics_address) if metrics_address else None,
            )
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"POSTWERK_TEMPORAL_METRICS_ADDRESS: {error}") from error


def _served(address: str) -> PrometheusConfig:
    return PrometheusConfig(
        bind_address=address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
