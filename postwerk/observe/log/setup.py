"""How a process writes its log: on stderr, one JSON object a line, or a line for people on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from postwerk.observe.log.foreign import as_call, as_place, with_place, with_trace, without_addresses

LogFormat = Literal["auto", "json", "text"]
_THEIR_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure_logging(level: str, log_format: LogFormat = "auto") -> None:
    """Everybody's lines, ours and those of libraries, take one way; control characters come out escaped."""
    logging.basicConfig(handlers=[handler_on(sys.stderr, log_format)], level=level, force=True)
    for name in _THEIR_OWN_HANDLERS:
        logger = logging.getLogger(name)
        if logger.handlers:  # none: it has none, or is to say nothing
            logger.handlers, logger.propagate = [], True
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # The SDK logs each retried activity with its failure; the archive has that as attempts.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)


def handler_on(stream: TextIO, log_format: LogFormat) -> logging.Handler:
    """One line for each record, or some for one with an exception on a terminal."""
    terminal = stream.isatty()
    text = terminal if log_format == "auto" else log_format == "text"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            pass_foreign_args=True,
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
                *((_for_people(terminal),) if text else (_in_order, structlog.processors.JSONRenderer())),
            ],
        )
    )
    return handler


def _in_order(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """When, how bad and what come first: people read JSON too."""
    return {name: event[name] for name in ("timestamp", "level", "event") if name in event} | dict(event)


def _for_people(terminal: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=terminal, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
