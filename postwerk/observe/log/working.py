"""What a worker says of itself and its batches. At INFO and above no address, content or secret (P7)."""

from __future__ import annotations

import logging

from postwerk.observe.log.logger import OWN, sentence


def worker_started(task_queue: str, relay: str, further: dict[str, str]) -> None:
    """`further`: the other relays by name."""
    more = {"relays": further} if further else {}
    sentence.info("worker started", task_queue=task_queue, relay=relay, **more)


def worker_stopping(grace_seconds: float) -> None:
    sentence.info("worker stops after its running transactions", at_most_seconds=grace_seconds)


def temporal_away(error: Exception, seconds: float) -> None:
    """A worker that starts before its server waits for it."""
    first_line = str(error).partition("\n")[0]
    sentence.warning("temporal cannot be reached, trying again", error=first_line, in_seconds=seconds)


def archive_unavailable(error: Exception, *, waiting: int) -> None:
    """The journal keeps its rows and tries again."""
    sentence.warning("archive unavailable, trying again", error=type(error).__name__, rows_waiting=waiting)


def batch_finished(bulk_id: str, batch: int, counts: dict[str, int]) -> None:
    sentence.info("batch finished", bulk=bulk_id, batch=batch, **counts)


def attempt_made(bulk_id: str, seq: int, outcome: str, reason: str, stage: str, code: int | None) -> None:
    if not OWN.isEnabledFor(logging.DEBUG):  # of each message: cheaper than to be told so by the chain
        return
    sentence.debug("attempt", bulk=bulk_id, seq=seq, outcome=outcome, reason=reason, stage=stage, code=code)


def bulk_paused(bulk_id: str, reason: str) -> None:
    sentence.error("bulk send paused by itself", bulk=bulk_id, reason=reason)


def sender_told(bulk_id: str, kind: str, notices: int) -> None:
    sentence.info("sender told", bulk=bulk_id, kind=kind, notices=notices)


def consequence_not_drawn(lane: str, reason: str, error: Exception) -> None:
    """The message's own outcome is recorded all the same."""
    sentence.warning("consequence not drawn", lane=lane, reason=reason, error=type(error).__name__)
