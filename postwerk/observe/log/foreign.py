"""Lines of libraries (uvicorn, Temporal's SDK, asyncio) in our form, and without addresses (P7)."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

from structlog.typing import EventDict

from postwerk.observe import tracing

_ADDRESS = re.compile(r"[^\s@'\"<>(),;:=]+@[^\s@'\"<>(),;:=]+")
_FRAMES = 8
"""Of a traceback, the innermost."""
_WHERE = {"workflow_id": "workflow", "activity_type": "activity", "attempt": "attempt"}
ACCESS = "uvicorn.access"


class CleanPaths(logging.Filter):
    """Takes the query (`q=` holds addresses) and whatever `clean` takes off uvicorn's access lines."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) >= 3:
            client, method, path, *rest = record.args
            record.args = (client, method, self._clean(str(path).partition("?")[0]), *rest)
        return True


def clean_access_lines(clean: Callable[[str], str]) -> None:
    """From now on; said again, it changes nothing."""
    logger = logging.getLogger(ACCESS)
    if not any(isinstance(known, CleanPaths) for known in logger.filters):
        logger.addFilter(CleanPaths(clean))


def silence(*names: str) -> None:
    """Nothing of these loggers is wanted: they tell every command, and so addresses."""
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def as_call(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """uvicorn's access line in fields."""
    arguments = event.pop("positional_args", None)
    if event["_record"].name == ACCESS and isinstance(arguments, tuple) and len(arguments) == 5:
        client, method, path, _version, status = arguments
        event.update(event="call answered", method=method, path=path, status=status)
        event["client"] = str(client).rpartition(":")[0]
    return event


def with_place(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Who says it, and in which workflow or activity, as far as the SDK tells."""
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    for told in ("temporal_workflow", "temporal_activity"):
        for name, ours in _WHERE.items():
            if isinstance(found := getattr(record, told, None), dict) and name in found:
                event.setdefault(ours, found[name])
    return event


def without_addresses(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """What looks like an address goes; asyncio shows an exception's words behind its first line."""
    record: logging.LogRecord = event["_record"]
    if record.name == ACCESS or logging.getLogger().level <= logging.DEBUG:
        return event
    said = str(event["event"])
    event["event"] = _ADDRESS.sub("...", said.partition("\n")[0] if record.name == "asyncio" else said)
    return event


def with_trace(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """In which trace it was said, if there is one."""
    event.update(tracing.ids())
    return event


def as_place(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """An exception by type and place: its words may hold addresses, so they are told at DEBUG alone."""
    error = _error_of(event.pop("exc_info", None))
    if error is not None:
        words = logging.getLogger().level <= logging.DEBUG
        event["exception"] = "".join(_told(error, words)).rstrip("\n")
    return event


def _error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _told(error: BaseException, words: bool) -> list[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = [*_told(cause, words), "which led to:\n"] if cause is not None else []
    frames = traceback.format_tb(error.__traceback__)[-_FRAMES:]
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return [*before, *frames, f"{name}: {error}\n" if words else f"{name}\n"]
