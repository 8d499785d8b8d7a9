"""A message's own deadline: that of its bulk send, moved by what it and the send were held."""

from __future__ import annotations

from datetime import datetime, timedelta


def own_deadline(
    deadline: datetime | None,
    extra: timedelta,
    *,
    time_left: timedelta | None,
    send_held_at: datetime | None,
    now: datetime,
) -> datetime | None:
    """The moment at which it expires; while it or its send is held, as if it were released now.

    `time_left` of a held message, None for others and for one that was held before its send began;
    `send_held_at` while the send is paused. None: the send has no deadline yet.
    """
    if time_left is not None:
        return now + time_left
    if deadline is None:
        return None
    paused = max(now - send_held_at, timedelta(0)) if send_held_at is not None else timedelta(0)
    return deadline + extra + paused
