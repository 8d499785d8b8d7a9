"""A message's own deadline: that of its bulk send, moved by what it and the send were held."""

from __future__ import annotations

from datetime import datetime, timedelta

from postwerk.contracts.options import earlier


def own_deadline(
    deadline: datetime | None,
    extra: timedelta,
    *,
    time_left: timedelta | None,
    send_held_at: datetime | None,
    now: datetime,
    expires_at: datetime | None = None,
) -> datetime | None:
    """The moment at which it expires; while it or its send is held, as if it were released now.

    `time_left` of a held message, None for others and for one that was held before its send began;
    `send_held_at` while the send is paused. Held time moves it, but not beyond `expires_at`. None: the send
    has no deadline yet.
    """
    if time_left is not None:
        return earlier(now + time_left, expires_at)
    if deadline is None:
        return None
    paused = max(now - send_held_at, timedelta(0)) if send_held_at is not None else timedelta(0)
    return earlier(deadline + extra + paused, expires_at)
