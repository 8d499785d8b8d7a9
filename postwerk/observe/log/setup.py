"""How a process writes its log: on stderr, one JSON object a line, or a line for people on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from postwerk.observe.log.foreign import as_call, as_place, with_place, with_trace, without_addresses

LogFormat = Literal["auto", "json", "text"]
_THEIR_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure_logging(level: str, log_format: LogFormat = "auto") -> None:
    """Everybody's lines, ours and those of libraries, take one way; control characters come out escaped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.contextvars.merge_contextvars,
                as_call,
                with_place,
                without_addresses,
            ],
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                with_trace,
                as_place,
                ProcessorFormatter.remove_processors_meta,
                _for_people() if is_text(log_format) else structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _THEIR_OWN_HANDLERS:
        logger = logging.getLogger(name)
        if logger.handlers:  # none: it has none, or is to say nothing
            logger.handlers, logger.propagate = [], True
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # The SDK logs each retried activity with its failure; the archive has that as attempts.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)


def is_text(log_format: LogFormat) -> bool:
    return sys.stderr.isatty() if log_format == "auto" else log_format == "text"


def _for_people() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
