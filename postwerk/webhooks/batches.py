"""What is posted: one event by itself, or some together; always the same bytes for the same events."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from postwerk.archive.event_cursor import Cursor
from postwerk.contracts.events import Event

MOST_OCTETS = 1024 * 1024
"""Of the events in one request; a single one that is larger goes by itself."""

_LIST = "batch_"


class Batch(NamedTuple):
    """One request's events."""

    message_id: str
    """The header `webhook-id`: follows from the events, so it is the same in each try."""
    body: bytes
    events: int
    first: Cursor
    last: Cursor
    oldest: datetime
    attempt: int = 1
    delivery_id: str = ""
    """Of the try whose worker died; empty: this is another one."""

    @property
    def is_list(self) -> bool:
        """Events together, even if it is one: which ones, must not change between tries."""
        return _is_list(self.message_id)


def _is_list(message_id: str) -> bool:
    return message_id.startswith(_LIST)


def same_batch(webhook_id: str, events: Sequence[Event], message_id: str) -> Batch:
    """All of these events, in the form and under the id that they had before."""
    most = max(len(events), 2) if _is_list(message_id) else 1
    return batch_of(webhook_id, events, most)._replace(message_id=message_id)


def batch_of(webhook_id: str, events: Sequence[Event], most_events: int) -> Batch:
    """The first of these events that go together, at most so many."""
    if most_events == 1:
        event = events[0]
        at = Cursor.parse(event.id)
        return Batch(event.id, event.as_json(), 1, at, at, event.timestamp)
    chosen, pieces = _chosen(events[:most_events])
    first, last = chosen[0], chosen[-1]
    return Batch(
        _message_id(webhook_id, first.id, last.id),
        _together(pieces, last.timestamp),
        len(chosen),
        Cursor.parse(first.id),
        Cursor.parse(last.id),
        first.timestamp,
    )


def single_body(type: str, timestamp: datetime, data: dict[str, Any]) -> bytes:
    """The body of something that is no event of the outbox."""
    return orjson.dumps({"type": type, "timestamp": timestamp, "data": data}, option=orjson.OPT_UTC_Z)


def _chosen(events: Sequence[Event]) -> tuple[Sequence[Event], list[bytes]]:
    pieces: list[bytes] = []
    octets = 0
    for event in events:
        piece = event.as_json()
        octets += len(piece)
        if pieces and octets > MOST_OCTETS:
            break
        pieces.append(piece)
    return events[: len(pieces)], pieces


def _together(pieces: Sequence[bytes], newest: datetime) -> bytes:
    head = orjson.dumps({"type": "events", "timestamp": newest}, option=orjson.OPT_UTC_Z)
    return head[:-1] + b',"data":{"events":[' + b",".join(pieces) + b"]}}"


def _message_id(webhook_id: str, first: str, last: str) -> str:
    digest = hashlib.sha256(f"{webhook_id} {first} {last}".encode()).hexdigest()
    return f"{_LIST}{digest[:32]}"
