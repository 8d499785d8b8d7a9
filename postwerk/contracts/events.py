"""What others may be told of: the types of events, and one of them as it is handed out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson


class EventType(StrEnum):
    """docs/events.md tells what each means and carries; a test compares the two."""

    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_DEFERRED = "message.deferred"
    MESSAGE_BOUNCED = "message.bounced"
    MESSAGE_EXPIRED = "message.expired"
    MESSAGE_CANCELLED = "message.cancelled"
    MESSAGE_SUPPRESSED = "message.suppressed"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_UNKNOWN = "message.unknown"
    MESSAGE_COMPLAINED = "message.complained"
    MESSAGE_UNSUBSCRIBED = "message.unsubscribed"
    BULK_SEND_ACCEPTED = "bulk_send.accepted"
    BULK_SEND_STARTED = "bulk_send.started"
    BULK_SEND_PAUSED = "bulk_send.paused"
    BULK_SEND_RESUMED = "bulk_send.resumed"
    BULK_SEND_COMPLETED = "bulk_send.completed"
    BULK_SEND_CANCELLED = "bulk_send.cancelled"
    BULK_SEND_FAILED = "bulk_send.failed"
    BULK_SEND_STALLED = "bulk_send.stalled"
    BULK_SEND_THRESHOLD = "bulk_send.threshold"
    LANE_COOLING = "lane.cooling"
    LANE_RECOVERED = "lane.recovered"
    SUPPRESSION_CREATED = "suppression.created"
    SUPPRESSION_DELETED = "suppression.deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as it is handed out: always the same for the same id."""

    id: str
    """evt_...: sorts as text in the order in which events are handed out, and says where to go on."""
    type: EventType
    timestamp: datetime
    data: dict[str, Any]
    """JSON; fields that do not apply are left out."""

    def as_json(self) -> bytes:
        """One line of JSON."""
        return orjson.dumps(self, option=orjson.OPT_UTC_Z)
