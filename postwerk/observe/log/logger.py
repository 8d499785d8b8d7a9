"""The one logger of Postwerk's own sentences. Its lines go through the process's handler like all others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

OWN = logging.getLogger("postwerk")

sentence: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    OWN,
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
"""Said with `sentence.info("what happened", field=value)`, only in the files beside this one."""


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Every line of this task within the block, and of tasks it starts, tells these fields too."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield
