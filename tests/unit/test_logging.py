"""Log lines: one way for everybody's, JSON or text, with what is known of the place and without addresses."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from postwerk.observe import log
from postwerk.observe.log.logger import OWN
from postwerk.observe.log.setup import LogFormat, configure_logging, handler_on

ROOT = Path(__file__).resolve().parents[2]
ADA = "ada@example.com"
SENTENCES = ROOT / "postwerk" / "observe" / "log"


@contextmanager
def logging_to(stream: TextIO, level: int = logging.INFO, log_format: LogFormat = "json") -> Iterator[None]:
    """Everybody's lines go to `stream` alone; afterwards pytest has the log again.

    Other tests may have run uvicorn in this process, and that leaves handlers and levels behind.
    """
    loggers = [logging.getLogger(name) for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access")]
    before = [(one.handlers, one.level, one.propagate) for one in loggers]
    for one in loggers:
        one.handlers, one.propagate = [], True
        one.setLevel(logging.NOTSET)
    loggers[0].handlers = [handler_on(stream, log_format)]
    loggers[0].setLevel(level)
    try:
        yield
    finally:
        for one, (handlers, its_level, propagate) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(its_level)


@contextmanager
def lines(level: int = logging.INFO) -> Iterator[list[dict[str, Any]]]:
    """What is logged within the block, as a reader of JSON sees it after the block."""
    stream, found = io.StringIO(), list[dict[str, Any]]()
    with logging_to(stream, level):
        yield found
    found.extend(json.loads(line) for line in stream.getvalue().splitlines())


def test_a_sentence_tells_its_fields_and_where_it_was_said() -> None:
    with lines() as said:
        with log.about(request="req_1"):
            log.bulk_paused("bulk_1", "ten\nbounces")
        log.lane_recovered("gmail.com")
    first, second = said
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "level": "error",
        "event": "bulk send paused by itself",
        "bulk": "bulk_1",
        "reason": "ten\nbounces",
        "request": "req_1",
    }
    assert list(second)[:3] == ["timestamp", "level", "event"]
    assert "request" not in second


def test_attempts_are_told_at_debug_alone() -> None:
    with lines() as said:
        log.attempt_made("bulk_1", 1, "deliver", "delivered", "dot", 250)
    assert said == []
    with lines(logging.DEBUG) as said:
        log.attempt_made("bulk_1", 1, "deliver", "delivered", "dot", 250)
    assert (said[0]["event"], said[0]["code"]) == ("attempt", 250)


def test_an_access_line_comes_in_fields() -> None:
    log.clean_access_lines(lambda path: path.replace("ada@example.com", "..."))
    access = logging.getLogger("uvicorn.access")
    path = "/v1/suppressions/ada@example.com?q=bob@example.com"
    with lines() as said, log.about(request="req_2"):
        access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5000", "GET", path, "1.1", 404)
    (line,) = said
    assert {name: line[name] for name in ("event", "method", "path", "status", "client", "request")} == {
        "event": "call answered",
        "method": "GET",
        "path": "/v1/suppressions/...",
        "status": 404,
        "client": "127.0.0.1",
        "request": "req_2",
    }
    assert "example.com" not in str(said)


def test_a_line_of_the_sdk_tells_its_workflow() -> None:
    told = {"temporal_workflow": {"workflow_id": "bulk-bulk_1", "attempt": 2, "namespace": "default"}}
    with lines() as said:
        logging.getLogger("temporalio.workflow").warning("%s was slow", "it", extra=told)
    assert (said[0]["event"], said[0]["logger"]) == ("it was slow", "temporalio.workflow")
    assert (said[0]["workflow"], said[0]["attempt"]) == ("bulk-bulk_1", 2)
    assert "namespace" not in said[0]


def fail() -> None:
    try:
        raise ValueError(f"no such user {ADA}")
    except ValueError as error:
        raise RuntimeError(f"could not tell {ADA}") from error


def log_failure() -> None:
    try:
        fail()
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception for %s, in ASGI application\n", ADA)


def test_an_exception_is_told_by_type_and_place_without_its_words() -> None:
    with lines() as said:
        log_failure()
        logging.getLogger("asyncio").error(
            "Task exception was never retrieved\nfuture: <Task exception=ValueError('Ada Lovelace')>"
        )
    assert said[0]["event"] == "Exception for ..., in ASGI application\n"
    place = said[0]["exception"]
    assert place.index("ValueError") < place.index("which led to") < place.index("RuntimeError")
    assert "in fail" in place
    assert said[1]["event"] == "Task exception was never retrieved"
    assert "example.com" not in str(said)
    assert "Ada" not in str(said)


def test_at_debug_an_exception_is_told_with_its_words() -> None:
    with lines(logging.DEBUG) as said:
        log_failure()
    assert "could not tell ada@example.com" in said[0]["exception"]


def test_text_is_for_people() -> None:
    stream = io.StringIO()
    with logging_to(stream, log_format="text"):
        log.lane_cools("gmail.com", "rate_limited", 59.7)
        log_failure()
    first, *rest = stream.getvalue().splitlines()
    assert "lane cools down" in first
    assert "for_seconds=60" in first
    assert "{" not in first
    assert any("RuntimeError" in line for line in rest)


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    main, side = pty.openpty()
    with os.fdopen(side, "w") as terminal, logging_to(terminal, log_format="auto"):
        log.lane_recovered("gmail.com")
        shown = os.read(main, 4096).decode()
    os.close(main)
    assert "lane recovered" in shown
    assert "\x1b[" in shown
    stream = io.StringIO()
    with logging_to(stream, log_format="auto"):
        log.lane_recovered("gmail.com")
    assert json.loads(stream.getvalue())["lane"] == "gmail.com"


def test_uvicorns_own_handlers_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by `uvicorn` itself they are there; an access log that was switched off stays off."""
    error, access = logging.getLogger("uvicorn"), logging.getLogger("uvicorn.access")
    for logger, handlers in ((error, [logging.NullHandler()]), (access, [])):
        monkeypatch.setattr(logger, "handlers", handlers)
        monkeypatch.setattr(logger, "propagate", False)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    levels = {name: logging.getLogger(name).level for name in ("", "alembic", "temporalio.activity")}
    try:
        configure_logging("WARNING")
        assert (error.handlers, error.propagate) == ([], True)
        assert (access.handlers, access.propagate) == ([], False)
        assert (len(root.handlers), root.level) == (1, logging.WARNING)
        assert not OWN.isEnabledFor(logging.INFO)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def test_nothing_is_said_by_a_logger_that_was_silenced() -> None:
    log.silence("postwerk-test.silent")
    with lines(logging.DEBUG) as said:
        logging.getLogger("postwerk-test.silent").critical("RCPT TO:<ada@example.com>")
    assert said == []


# The house


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_sentence_can_be_said_from_one_place() -> None:
    helpers = ("__init__", "foreign", "logger", "setup")
    themes = [path for path in sorted(SENTENCES.glob("*.py")) if path.stem not in helpers]
    sentences = set().union(*(functions_of(path) for path in themes))
    assert len(sentences) > 30
    assert sentences <= set(log.__all__)
    assert all(hasattr(log, name) for name in log.__all__)


@pytest.mark.parametrize("room", ["postwerk", "workflows", "activities", "api", "worker.py"])
def test_nobody_logs_in_any_other_way(room: str) -> None:
    """Only the files of postwerk/observe/log, and workflow.logger, which the SDK keeps still in a replay."""
    files = sorted((ROOT / room).rglob("*.py")) if room != "worker.py" else [ROOT / room]
    assert files
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        if not path.is_relative_to(SENTENCES)
        for name in imported_by(path)
        if name.split(".")[0] in ("logging", "structlog", "warnings")
    ]
    # It only names the logger to which the SDK's own core hands its lines.
    assert found == (["workflows/runtime.py: logging"] if room == "workflows" else [])


def imported_by(path: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def test_the_check_above_would_find_one(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("def f():\n    import logging\nfrom structlog.dev import x\n")
    assert imported_by(tmp_path / "loud.py") == ["logging", "structlog.dev"]
