"""The sentences of the log, one function each. At INFO and above no address, content or secret (P7)."""

from __future__ import annotations

import logging
import sys

import structlog

_log = structlog.get_logger("postwerk")


def configure_logging(level: str) -> None:
    """JSON lines on stderr, control characters escaped by the JSON encoding."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(message)s", force=True)
    # The SDK logs each retried activity with its failure; the archive has that as attempts.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def worker_started(task_queue: str, relay: str, further: dict[str, str]) -> None:
    """`further`: the other relays by name."""
    more = {"relays": further} if further else {}
    _log.info("worker started", task_queue=task_queue, relay=relay, **more)


def worker_stopping(grace_seconds: float) -> None:
    _log.info("worker stops after its running transactions", at_most_seconds=grace_seconds)


def temporal_away(error: Exception, seconds: float) -> None:
    """A worker that starts before its server waits for it."""
    first_line = str(error).partition("\n")[0]
    _log.warning("temporal cannot be reached, trying again", error=first_line, in_seconds=seconds)


def archive_unavailable(error: Exception, *, waiting: int) -> None:
    """The journal keeps its rows and tries again."""
    _log.warning("archive unavailable, trying again", error=type(error).__name__, rows_waiting=waiting)


def batch_finished(bulk_id: str, batch: int, counts: dict[str, int]) -> None:
    _log.info("batch finished", bulk=bulk_id, batch=batch, **counts)


def relay_unreachable(relay: str, reason: str, failures: int) -> None:
    _log.warning("no session with the relay", relay=relay, reason=reason, in_a_row=failures)


def relay_unknown(relay: str, known: list[str]) -> None:
    """A bulk send names a relay that this worker's settings do not; its mail waits."""
    _log.error("relay not known to this worker, its mail waits", relay=relay, known=known)


def attempt_made(bulk_id: str, seq: int, outcome: str, reason: str, stage: str, code: int | None) -> None:
    _log.debug("attempt", bulk=bulk_id, seq=seq, outcome=outcome, reason=reason, stage=stage, code=code)


def lane_cools(lane: str, reason: str, seconds: float) -> None:
    _log.warning("lane cools down", lane=lane, reason=reason, for_seconds=round(seconds))


def consequence_not_drawn(lane: str, reason: str, error: Exception) -> None:
    """The message's own outcome is recorded all the same."""
    _log.warning("consequence not drawn", lane=lane, reason=reason, error=type(error).__name__)


def lane_recovered(lane: str) -> None:
    _log.info("lane recovered", lane=lane)


def bulk_paused(bulk_id: str, reason: str) -> None:
    _log.error("bulk send paused by itself", bulk=bulk_id, reason=reason)


def sender_told(bulk_id: str, kind: str, notices: int) -> None:
    _log.info("sender told", bulk=bulk_id, kind=kind, notices=notices)


def dkim_key_unusable(words: str) -> None:
    """Names the file and what is wrong with it, never what is in it."""
    _log.warning("a DKIM key cannot be used", reason=words)


def dkim_key_open_to_others(path: str, mode: str) -> None:
    _log.warning("a DKIM key can be read by others than its owner; chmod 600 it", file=path, mode=mode)


def inbound_listening(protocol: str, address: str, domain: str) -> None:
    _log.info("inbound listening", protocol=protocol, address=address, domain=domain)


def inbound_unparsed(inbound_id: str, why: str) -> None:
    _log.warning("a mail that came back cannot be read", inbound=inbound_id, why=why)


def inbound_failed(inbound_id: str, error: Exception) -> None:
    """Our mistake; it is tried again."""
    _log.error("a mail that came back could not be processed", inbound=inbound_id, error=type(error).__name__)


def inbound_not_stored(error: BaseException) -> None:
    """Its sender was told to try again later."""
    _log.warning("a mail that came back could not be stored", error=type(error).__name__)


def webhook_failed(webhook_id: str, trouble: str, tries: int, seconds: float) -> None:
    _log.warning("webhook failed", webhook=webhook_id, trouble=trouble, tries=tries, again_in=round(seconds))


def webhook_gone(webhook_id: str, trouble: str, tries: int) -> None:
    """Nobody tells its receiver anything until it is enabled again."""
    _log.error("webhook is gone", webhook=webhook_id, trouble=trouble, tries=tries)
