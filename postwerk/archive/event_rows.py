"""From a row of the outbox, joined with what it is about, to the event as it is handed out."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Row

from postwerk.archive.columns import from_microseconds
from postwerk.archive.event_cursor import Cursor
from postwerk.contracts.events import Event, EventType

JOINED = """
    event.id, event.xid, event.at, event.type, event.bulk_id, event.seq, event.attempt, event.reason,
    event.next_at, event.repeated, event.name, event.data,
    bulk_send.name AS bulk_name, bulk_send.kind, bulk_send.metadata AS bulk_metadata,
    message.address, message.name AS addressee, message.metadata, message.lane,
    attempt.stage, attempt.code, attempt.enhanced, attempt.text, attempt.host, attempt.tls
"""
"""Columns that `event_of` reads."""
JOINS = """
    LEFT JOIN bulk_send ON bulk_send.id = event.bulk_id
    LEFT JOIN message ON event.seq > 0 AND message.bulk_id = event.bulk_id AND message.seq = event.seq
    LEFT JOIN attempt ON event.attempt > 0 AND attempt.bulk_id = event.bulk_id AND attempt.seq = event.seq
        AND attempt.number = event.attempt
"""
_REPLY = ("code", "enhanced", "text", "stage", "host", "tls")


def event_of(row: Row[Any]) -> Event:
    about = row.type.partition(".")[0]
    data = _OF[about](row)
    if row.data is not None:
        data |= orjson.loads(row.data)
    return Event(str(Cursor(row.xid, row.id)), EventType(row.type), from_microseconds(row.at), data)


def _of_message(row: Row[Any]) -> dict[str, Any]:
    data = {
        "bulk_send_id": row.bulk_id,
        "message_id": f"{row.bulk_id}.{row.seq}",
        "kind": row.kind,
        "to": row.address,
        "name": row.addressee,
        "lane": row.lane,
    }
    if row.reason:
        data["reason"] = row.reason
    if row.type == EventType.MESSAGE_DEFERRED:
        data["repeated"] = bool(row.repeated)
    if row.next_at is not None:
        data["next_attempt_at"] = from_microseconds(row.next_at)
    if row.attempt:
        data["attempt"] = row.attempt
    if row.stage is not None:
        data["reply"] = _reply(row)
    if row.metadata is not None:
        data["metadata"] = orjson.loads(row.metadata)
    if row.bulk_metadata is not None:
        data["bulk_send_metadata"] = orjson.loads(row.bulk_metadata)
    return data


def _reply(row: Row[Any]) -> dict[str, Any]:
    """What the server said, or, without a code, what happened instead."""
    reply = {"stage": row.stage, "text": row.text}
    if row.code is not None:
        reply["code"] = row.code
    for name in ("enhanced", "host", "tls"):
        if value := row._mapping[name]:
            reply[name] = value
    return reply


def _of_bulk_send(row: Row[Any]) -> dict[str, Any]:
    data = {"bulk_send_id": row.bulk_id, "name": row.bulk_name}
    if row.reason:
        data["reason"] = row.reason
    if row.bulk_metadata is not None:
        data["bulk_send_metadata"] = orjson.loads(row.bulk_metadata)
    return data


def _of_lane(row: Row[Any]) -> dict[str, Any]:
    """The relay itself is the lane with the empty name."""
    data: dict[str, Any] = {"lane": row.name}
    if row.reason:
        data["reason"] = row.reason
    if row.next_at is not None:
        data["until"] = from_microseconds(row.next_at)
    return data


def _of_suppression(row: Row[Any]) -> dict[str, Any]:
    data = {"address": row.name}
    if row.reason:
        data["reason"] = row.reason
    if row.bulk_id:
        data["bulk_send_id"] = row.bulk_id
    return data


_OF = {
    "message": _of_message,
    "bulk_send": _of_bulk_send,
    "lane": _of_lane,
    "suppression": _of_suppression,
}
