"""The clock of held messages: what they have left of their deadline, and their deadline when released.

A message's own deadline is its send's and `extra`. A send's deadline stands still from `held_at` on while
the send itself is paused, so both kinds of holding may overlap and none is counted twice.
"""

from __future__ import annotations

TIME_LEFT = """(
    SELECT bulk_send.deadline + message.extra - COALESCE(bulk_send.held_at, {now})
    FROM bulk_send WHERE bulk_send.id = message.bulk_id AND bulk_send.started_at IS NOT NULL
)"""
"""SQL: microseconds a message has left of its deadline at `{now}`; NULL before its send has begun."""
EXTRA = """COALESCE((
    SELECT COALESCE(bulk_send.held_at, {now}) + message.time_left - bulk_send.deadline
    FROM bulk_send WHERE bulk_send.id = message.bulk_id
), message.extra)"""
"""SQL: a held message's new `extra` when it is released at `{now}`."""
