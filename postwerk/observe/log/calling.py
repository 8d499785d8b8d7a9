"""What the API says of calls and of itself. At INFO and above no address, content or secret (P7)."""

from __future__ import annotations

from postwerk.observe.log.logger import sentence


def archive_away(error: BaseException) -> None:
    """A call was answered with 503."""
    sentence.warning("archive away", error=type(error).__name__)


def client_gone(method: str, path: str, error: BaseException) -> None:
    sentence.info("client gone", method=method, path=path, error=type(error).__name__)


def call_failed(method: str, path: str, error: BaseException, place: str) -> None:
    """Ours. Told by type and place: the words of an exception may hold addresses."""
    sentence.error("call failed", method=method, path=path, error=type(error).__name__, place=place)


def key_use_not_noted(key_id: str, error: BaseException) -> None:
    sentence.warning("the use of a key could not be noted", key=key_id, error=type(error).__name__)


def queue_not_counted(error: BaseException) -> None:
    sentence.warning("the queue cannot be counted", error=type(error).__name__)


def lease_not_renewed(error: BaseException) -> None:
    """Of a call with an idempotency key that still runs."""
    sentence.warning("a call's lease was not renewed, tried again soon", error=type(error).__name__)


def schema_is_wrong(words: str) -> None:
    """Calls answer 503 until it is put right."""
    sentence.error("the archive has another revision", reason=words)


def relays_unusable(words: str) -> None:
    sentence.warning("the relays' settings cannot be used here", reason=words)


def left_to_reconciler(what: str, of: str, error: BaseException) -> None:
    """It is stored; Temporal hears of it from the reconciler."""
    sentence.warning("temporal away, left to the reconciler", what=what, of=of, error=type(error).__name__)


def change_not_followed(bulk_id: str, error: BaseException) -> None:
    """Tried again soon."""
    sentence.warning("a change is not followed yet", bulk=bulk_id, error=type(error).__name__)


def rescheduled(bulk_id: str, messages: int) -> None:
    sentence.info("messages wait by the new schedule", bulk=bulk_id, messages=messages)


def batches_woken(lane: str | None, told: int, failed: int) -> None:
    """`lane` None: all of them."""
    sentence.info("batches told to look again", lane=lane, batches=told)
    if failed:
        sentence.warning("batches could not be woken", lane=lane, batches=failed)


def batches_not_woken(lane: str | None, error: BaseException) -> None:
    sentence.warning("temporal away, batches are not woken", lane=lane, error=type(error).__name__)


def stream_ended(error: BaseException) -> None:
    """Its reader connects again and goes on where it was."""
    sentence.warning("a stream of events ends, the archive is away", error=type(error).__name__)


def broke_off(task: str, error: BaseException) -> None:
    """Something in the background that nobody waits for."""
    sentence.warning("a task in the background broke off", task=task, error=type(error).__name__)
